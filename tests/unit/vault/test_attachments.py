"""Tests of commander/vault/attachments.py and of the commands with files, on a server in memory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from commander.errors import (
    CommanderError,
    Conflict,
    InvalidInput,
    NotFound,
    Tampered,
    Unreachable,
    UsageError,
)
from commander.plugin.attachments import Carriers
from commander.vault import attachments
from commander.vault.attachments import Attachment, safe_name
from commander.wire import calls
from plugins.programs import plugin as programs
from plugins.vault import plugin
from tests.support.command_world import World, make_world
from tests.support.memory_carrier import MemoryCarrier, MemoryCarriers

CONTENT = b"-----BEGIN-----\nsecret\n" * 20


@dataclass
class Files:
    """A world whose commands carry files in memory, and a directory."""

    world: World
    carrier: MemoryCarrier
    directory: Path

    def file(self, name: str = "client.pem", content: bytes = CONTENT) -> Path:
        """A file of this machine."""
        path = self.directory / name
        path.write_bytes(content)
        return path

    async def run(self, line: str) -> object:
        """Run a line of the vault's commands."""
        return await self.world.run(plugin, line)

    async def add(self, *files: Path) -> str:
        """A record with files; its UID."""
        words = " ".join(f"'file=@{file}'" for file in files)
        made = await self.world.json(plugin, f"record-add -t Orders -rt login {words}")
        return str(made["record_uid"])

    @property
    def stored(self) -> dict[str, calls.NewAttachment]:
        """What the server has."""
        return self.world.server.stored.attachments


@pytest.fixture
async def files(tmp_path: Path) -> Files:
    world = await make_world()
    carrier = MemoryCarrier(world.server)
    world.context._shared[Carriers] = MemoryCarriers(carrier)
    (tmp_path / "out").mkdir(mode=0o700)
    return Files(world, carrier, tmp_path)


async def test_a_file_comes_back_as_it_was(files: Files) -> None:
    """Attached when the record is made, shown by `get`, written 0600, and nothing of it on the server."""
    uid = await files.add(files.file(), files.file("empty", b""))

    shown = await files.world.json(plugin, f"get {uid}")
    as_json = await files.world.json(plugin, f"get {uid} --format json")
    await files.run(f"download-attachment {uid} -o {files.directory / 'out'}")

    assert shown["attachments"] == [f"client.pem ({len(CONTENT)} bytes)", "empty (0 bytes)"]
    assert [one["name"] for one in as_json["attachments"]] == ["client.pem", "empty"]
    written = files.directory / "out" / "client.pem"
    assert written.read_bytes() == CONTENT
    assert written.stat().st_mode & 0o777 == 0o600
    assert sorted(os.listdir(files.directory / "out")) == ["client.pem", "empty"]
    assert not any(b"secret" in data for data in files.world.server.bytes.values())
    assert not any(b"client.pem" in new.data for new in files.stored.values())


async def test_one_file_goes_to_a_path_or_to_standard_output(files: Files) -> None:
    """Chosen by name or UID."""
    uid = await files.add(files.file(), files.file("b", b"b"))

    await files.run(f"da {uid} --file b -o {files.directory / 'out' / 'c'}")
    assert (files.directory / "out" / "c").read_bytes() == b"b"
    (named,) = [one for one in files.stored if files.stored[one].size == 29]
    await files.run(f"da {uid} --file {named} -o -")
    assert files.world.context.console.data == b"b"
    with pytest.raises(Conflict, match="2 attachments"):
        await files.run(f"da {uid} -o -")
    with pytest.raises(NotFound, match="no attachment"):
        await files.run(f"da {uid} --file none -o -")
    with pytest.raises(NotFound, match="no directory"):
        await files.run(f"da {uid} -o {files.directory / 'none'}")


async def test_nothing_that_is_there_is_written_over(files: Files) -> None:
    """Neither a file nor a link."""
    uid = await files.add(files.file())
    (files.directory / "link").symlink_to(files.directory / "elsewhere")

    for name in ("client.pem", "link"):
        with pytest.raises(Conflict):
            await files.run(f"da {uid} --file client.pem -o {files.directory / name}")
    with pytest.raises(CommanderError):
        await files.run(f"da {uid} --file client.pem -o {files.directory}/no/dir")
    assert not (files.directory / "elsewhere").exists()


async def test_files_are_added_and_taken_away(files: Files) -> None:
    """By record-update; the bytes go with them."""
    uid = await files.add(files.file())

    await files.run(
        f"record-update -r {uid} file=@{files.file('b', b'b')} --remove-file client.pem"
    )

    shown = await files.world.json(plugin, f"get {uid}")
    assert shown["attachments"] == ["b (1 bytes)"]
    assert len(files.stored) == 1
    with pytest.raises(NotFound):
        await files.run(f"record-update -r {uid} --remove-file client.pem")


async def test_if_missing_compares_files(files: Files) -> None:
    """The same name and size is the same file."""
    path = files.file()
    await files.add(path)
    line = f"record-add --if-missing -t Orders -rt login file=@{path}"

    assert (await files.world.json(plugin, line))["status"] == "unchanged"
    files.file("client.pem", b"other")
    with pytest.raises(Conflict, match="differs in file"):
        await files.run(line)


async def test_what_cannot_be_attached_changes_nothing(files: Files) -> None:
    """No file, a directory, a value that names none, a name that is none."""
    bad = files.directory / "a\nb"
    bad.write_bytes(b"")
    for value, error in (
        (f"@{files.directory}/none", NotFound),
        (f"@{files.directory}", InvalidInput),
        ("x", UsageError),
        (f"@{bad}", InvalidInput),
    ):
        with pytest.raises(error):
            await files.run(f"record-add -t Orders -rt login 'file={value}'")
    with pytest.raises(InvalidInput):
        attachments.check_new("x", attachments.MAX_BYTES + 1)
    assert files.world.server.stored.records == {}


async def test_an_upload_that_breaks_leaves_nothing_behind(files: Files) -> None:
    """The record names no file whose bytes are not there."""
    uid = await files.add()
    files.carrier.breaks_after = 100

    with pytest.raises(Unreachable):
        await files.run(f"record-update -r {uid} file=@{files.file()}")

    assert files.stored == {}
    assert "attachments" not in await files.world.json(plugin, f"get {uid}")


async def test_notation_reads_text_files(files: Files) -> None:
    """Into a template; what is no text, or too long, goes to a file only."""
    uid = await files.add(files.file(), files.file("b", b"\xff"), files.file("c", b"x" * 2**21))
    template = files.directory / "t"
    template.write_text(f"{{{{ keeper://{uid}/file/client.pem }}}}")
    await files.world.run(programs, f"inject {template}")
    assert files.world.context.console.data == CONTENT

    for name in ("b", "c"):
        template.write_text(f"keeper://{uid}/file/{name}")
        with pytest.raises(InvalidInput):
            await files.world.run(programs, f"inject {template}")


async def test_a_server_that_alters_or_withholds_is_told(files: Files) -> None:
    """Bytes, description, key, the whole file: nothing of it is written."""
    uid = await files.add(files.file())
    (file,) = files.stored
    target = files.directory / "out" / "x"
    line = f"da {uid} --file client.pem -o {target}"
    server, new, data = files.world.server, files.stored[file], files.world.server.bytes[file]
    other = await attachments_of_another(files)

    for lie in (data[:-1] + bytes([data[-1] ^ 1]), data[:-1], b"", server.bytes[other]):
        server.bytes[file] = lie
        with pytest.raises(Tampered):
            await files.run(line)
    server.bytes[file] = data
    for change in ({"data": bytes(40)}, {"link_key": bytes(60)}):
        files.stored[file] = msgspec.structs.replace(new, **change)
        with pytest.raises(Tampered):
            await files.run(line)
    del files.stored[file]
    with pytest.raises(Tampered, match="has no attachment"):
        await files.run(line)
    assert "attachments" not in await files.world.json(plugin, f"get {uid}")
    assert os.listdir(target.parent) == []

    files.stored[file] = new
    await files.run(line)
    assert target.read_bytes() == CONTENT


async def test_another_file_under_a_uid_is_told(files: Files) -> None:
    """Two files of a record exchanged, whole with keys and bytes, or a removed one brought back as the new one."""
    uid = await files.add(files.file(), files.file("other", b"x" * len(CONTENT)))
    server, target = files.world.server, files.directory / "out" / "x"
    line = f"da {uid} --file client.pem -o {target}"
    one, two = files.stored
    old, old_bytes = files.stored[one], server.bytes[one]

    def put(file: str, shown: calls.NewAttachment, content: bytes) -> None:
        files.stored[file] = msgspec.structs.replace(shown, file=file)
        server.bytes[file] = content

    other, other_bytes = files.stored[two], server.bytes[two]
    put(one, other, other_bytes)
    put(two, old, old_bytes)
    with pytest.raises(Tampered, match="another file"):
        await files.run(line)
    put(one, old, old_bytes)
    put(two, other, other_bytes)

    renewed = files.file("client.pem", b"new" * 100)
    await files.run(f"record-update -r {uid} --remove-file client.pem file=@{renewed}")
    (new,) = set(files.stored) - {one, two}
    honest, honest_bytes = files.stored[new], server.bytes[new]
    put(new, old, old_bytes)
    with pytest.raises(Tampered, match="another file"):
        await files.run(line)
    assert os.listdir(target.parent) == []

    put(new, honest, honest_bytes)
    await files.run(line)
    assert target.read_bytes() == b"new" * 100


async def attachments_of_another(files: Files) -> str:
    """Another record's attachment."""
    before = set(files.stored)
    made = await files.world.json(
        plugin, f"record-add -t Other -rt login file=@{files.file('other', CONTENT)}"
    )
    assert made["record_uid"]
    (new,) = set(files.stored) - before
    return new


async def test_a_place_elsewhere_is_refused(files: Files) -> None:
    """Bytes go to and come from the pinned server alone."""
    uid = await files.add(files.file())

    def elsewhere(path: str, answer: object) -> object:
        if not isinstance(answer, calls.AttachmentsAnswer):
            return answer
        rows = [
            msgspec.structs.replace(row, place="https://evil.example/api/rest/sm/v1/files/x")
            for row in answer.attachments
        ]
        return calls.AttachmentsAnswer(tuple(rows))

    files.world.server.before_answer = elsewhere  # type: ignore[assignment] # messages in, messages out
    with pytest.raises(Tampered, match="none of its own"):
        await files.run(f"da {uid} --file client.pem -o {files.directory / 'out' / 'x'}")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("../../etc/passwd", "passwd"), ("..\\x\\evil.exe", "evil.exe"), ("/abs", "abs"), ("a\nb", "a_b"),
        ("CON", "file-UID"), ("com1.txt", "file-UID"), ("..", "file-UID"), ("", "file-UID"), ("a:b", "a_b"),
        (".hidden", "hidden"), ("x\u202etxt", "x_txt"), ("ä" * 300, "ä" * 127),
    ],
)  # fmt: skip
def test_names_make_plain_files(name: str, expected: str) -> None:
    """Whatever somebody called an attachment, it lands in one directory."""
    row = calls.AttachmentRow("UID", b"", b"", 0, True, "")

    assert safe_name(Attachment("UID", name, name, 0, b"", row)) == expected
