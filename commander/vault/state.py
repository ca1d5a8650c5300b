"""
The vault as a user sees it: a tree of folders with records, and how names become things.

The root of the tree is the user's personal folder; shared folders stand beside the personal
ones at the top. Folders within a domain are labels: the domain alone is a border of access.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from commander.authority.decide import Action, Allow, decide
from commander.authority.state import State
from commander.errors import Conflict, NotFound
from commander.ids import FolderUid, is_uid
from commander.vault.replica import OpenApplication, OpenFolder, OpenRecord, Replica

MAX_CANDIDATES = 10
MAX_DEPTH = 64


@dataclass(frozen=True)
class Place:
    """Where a record or folder is: the domain folder, and the folder within it or ""."""

    domain: FolderUid
    inner: str = ""

    @property
    def folder(self) -> FolderUid:
        """The folder a user would name: the inner one, else the domain."""
        return FolderUid(self.inner or self.domain)


class _Named(Protocol):
    @property
    def uid(self) -> str: ...


_N = TypeVar("_N", bound=_Named)


def split_path(text: str) -> list[str]:
    """Split `a/b/c`; `//` stands for a slash within a name. An empty first part means the root."""
    mark = "\0"
    return [part.replace(mark, "/") for part in text.replace("//", mark).split("/")]


def join_path(parts: Iterable[str]) -> str:
    """The inverse of `split_path`."""
    return "/".join(part.replace("/", "//") for part in parts)


class View:
    """
    An index of a replica at one moment: what `decide` lets this user see now.

    Make a new one when `replica.generation` has moved on or time has passed a share's end.
    """

    def __init__(self, replica: Replica, *, now: float) -> None:
        self._replica = replica
        self.generation = replica.generation
        self.now = now
        self.personal = _personal_folder(replica)
        self.domains = {
            folder.uid
            for folder in replica.folders.values()
            if folder.is_domain and self._may_see(folder.uid)
        }
        self.folders = {
            uid: folder for uid, folder in replica.folders.items() if folder.domain in self.domains
        }
        self.records = {
            uid: record for uid, record in replica.records.items() if record.domain in self.domains
        }
        self._child_folders: dict[str, list[OpenFolder]] = defaultdict(list)
        self._child_records: dict[str, list[OpenRecord]] = defaultdict(list)
        for folder in self.folders.values():
            if folder.uid != self.personal:
                self._child_folders[self._parent(folder)].append(folder)
        for record in self.records.values():
            inner = record.inner_folder if record.inner_folder in self.folders else ""
            self._child_records[inner or record.domain].append(record)

    def _may_see(self, domain: str) -> bool:
        replica = self._replica
        decision = decide(replica.state, replica.user, Action.VIEW, domain, now=self.now)
        return isinstance(decision, Allow)

    def _parent(self, folder: OpenFolder) -> str:
        if folder.is_domain:
            return self.personal
        parent = self.folders.get(folder.parent)
        if parent is None or parent.domain != folder.domain or self._in_cycle(folder):
            return folder.domain
        return parent.uid

    def _in_cycle(self, folder: OpenFolder) -> bool:
        current: OpenFolder | None = folder
        for _ in range(MAX_DEPTH):
            if current is None or current.is_domain or not current.parent:
                return False
            current = self.folders.get(current.parent)
        return True

    @property
    def root(self) -> FolderUid:
        """The personal folder."""
        return FolderUid(self.personal)

    def subfolders(self, folder: str) -> list[OpenFolder]:
        """Folders directly in a folder, by name."""
        return sorted(self._child_folders[folder], key=lambda found: found.name.casefold())

    def records_in(self, folder: str) -> list[OpenRecord]:
        """Records directly in a folder, by title."""
        return sorted(self._child_records[folder], key=lambda found: found.data.title.casefold())

    def place_of(self, folder: str) -> Place:
        """Where things put into a folder go."""
        found = self.folders[folder]
        return Place(found.domain, "" if found.is_domain else found.uid)

    def path_of(self, folder: str) -> tuple[str, ...]:
        """Names from the root down to a folder; () for the root."""
        names: list[str] = []
        current = self.folders.get(folder)
        while current is not None and current.uid != self.personal and len(names) < MAX_DEPTH:
            names.append(current.name)
            current = self.folders.get(self._parent(current))
        return tuple(reversed(names))

    def record_path(self, record: OpenRecord) -> str:
        """Folder path and title of a record."""
        folder = record.inner_folder if record.inner_folder in self.folders else record.domain
        return join_path((*self.path_of(folder), record.data.title))

    def find_folder(self, text: str, *, base: str = "") -> OpenFolder:
        """
        A folder by UID, path (from `base`, or `/` from the root) or name anywhere.

        Raises NotFound, Conflict with the candidates when several fit.
        """
        if is_uid(text) and text in self.folders:
            return self.folders[text]
        by_path = self._walk(split_path(text), base)
        if by_path is not None:
            return self.folders[by_path]
        named = [folder for folder in self.folders.values() if folder.uid != self.personal]
        return _choose(
            "folder", text, named, lambda f: f.name, lambda f: join_path(self.path_of(f.uid))
        )

    def _walk(self, parts: Sequence[str], base: str) -> str | None:
        current = base if base in self.folders else self.personal
        if len(parts) > 1 and parts[0] == "":
            current, parts = self.personal, parts[1:]
        for part in parts:
            if part in ("", "."):
                continue
            if part == "..":
                folder = self.folders[current]
                current = current if current == self.personal else self._parent(folder)
                continue
            found = [folder for folder in self._child_folders[current] if folder.name == part]
            if len(found) != 1:
                return None
            current = found[0].uid
        return current if current in self.folders else None

    def find_record(self, text: str, *, base: str = "") -> OpenRecord:
        """
        A record by UID, path or exact title. Raises NotFound, or Conflict with the candidates.
        """
        if is_uid(text) and text in self.records:
            return self.records[text]
        parts = split_path(text)
        folder = self._walk(parts[:-1], base) if len(parts) > 1 or base else None
        if folder is not None:
            here = [r for r in self._child_records[folder] if r.data.title == parts[-1]]
            if len(here) == 1:
                return here[0]
        records = list(self.records.values())
        return _choose("record", text, records, lambda r: r.data.title, self.record_path)

    def find_application(self, text: str) -> OpenApplication:
        """An application by UID or title. Raises NotFound, or Conflict with the candidates."""
        applications = self.applications()
        for application in applications:
            if application.uid == text:
                return application
        return _choose("application", text, applications, lambda a: a.title, lambda a: a.title)

    def applications(self) -> list[OpenApplication]:
        """Applications that exist and whose key this user has, by title."""
        state = self._replica.state
        found = [a for a in self._replica.applications.values() if self._has(state, a.uid)]
        return sorted(found, key=lambda application: application.title.casefold())

    def _has(self, state: State, uid: str) -> bool:
        application = state.applications.get(uid)
        if application is None:
            return False
        user = self._replica.user
        return application.owner == user or state.accesses.get((uid, user)) is not None

    def records_of_type(self, *types: str) -> list[OpenRecord]:
        """All records of some types, by title."""
        found = [record for record in self.records.values() if record.data.type in types]
        return sorted(found, key=lambda record: record.data.title.casefold())


def _personal_folder(replica: Replica) -> str:
    for folder in replica.state.folders.values():
        if folder.personal and folder.owner == replica.user:
            return folder.folder
    return ""


def _choose(
    what: str,
    text: str,
    items: Sequence[_N],
    name: Callable[[_N], str],
    path: Callable[[_N], str],
) -> _N:
    """The one item of that exact name; else the one that differs in case only."""
    found = [item for item in items if name(item) == text]
    if not found:
        folded = text.casefold()
        found = [item for item in items if name(item).casefold() == folded]
    if not found:
        raise NotFound(f"no {what} {text[:80]!r}", hint="names and UIDs are shown by ls and search")
    if len(found) > 1:
        shown = ", ".join(f"{path(item)} ({item.uid})" for item in found[:MAX_CANDIDATES])
        more = f" and {len(found) - MAX_CANDIDATES} more" if len(found) > MAX_CANDIDATES else ""
        raise Conflict(
            f"{text[:80]!r} names {len(found)} {what}s: {shown}{more}", hint="use the UID or path"
        )
    return found[0]
