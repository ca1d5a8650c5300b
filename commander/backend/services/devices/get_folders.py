"""`get_folders`: the folders of an application in the form devices read, parents before children."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from commander.backend.core import Core
from commander.backend.services.devices import access
from commander.backend.storage import folder_copies
from commander.backend.storage.clients import StoredClient
from commander.ksm.payloads import Folder, GetSecretResponse
from commander.wire.calls import FolderCopy


async def get_folders(core: Core, client: StoredClient) -> bytes:
    """
    The payload of the answer, in the form of `get_secret`'s.

    A folder whose owner's client has not written this form yet is left out, and said so.
    """
    visible = access.visible_folders(core.state, client.application, now=core.now())
    frame = await core.shelf.frame(client.application)
    domains = set(visible) & set(frame.keys)
    async with core.database.reading() as connection:
        copies = await folder_copies.of_domains(connection, domains)
    folders = _in_order(copies, frame.keys, visible)
    missing = domains - {copy.folder for copy in copies}
    return GetSecretResponse.make(
        folders=folders,
        records=[],
        app_data=frame.stored.data if frame.stored else None,
        expires_on=client.access_expires * 1000,
        warnings=["folders without a name for devices were left out"] if missing else None,
    ).to_payload()


def _in_order(
    copies: Sequence[FolderCopy], keys: Mapping[str, bytes], editable: Mapping[str, bool]
) -> list[Folder]:
    """From the roots down; what hangs from nothing known, or from itself, is left out."""
    below: dict[str, list[FolderCopy]] = {}
    found = []
    for copy in copies:
        if copy.folder == copy.domain:
            found.append(
                Folder(copy.folder, keys[copy.folder], editable[copy.folder], data=copy.data)
            )
        else:
            below.setdefault(copy.parent or copy.domain, []).append(copy)
    for folder in found:
        found.extend(
            Folder(
                child.folder, child.key, editable[child.domain], data=child.data,
                parent=child.parent or child.domain,
            )
            for child in below.pop(folder.folder_uid, ())
        )  # fmt: skip
    return found
