"""Files to and from records, for the commands that do it: streamed, verified before anybody sees them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import stat
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from commander.api.http import HttpTransport
from commander.api.proxy import choose_proxy
from commander.api.tls import verified_context
from commander.api.transfers import PIECE_BYTES, Transfers
from commander.crypto.streams import StreamOpener, StreamSealer
from commander.errors import (
    CommanderError,
    Conflict,
    InvalidInput,
    NotFound,
    SealBroken,
    Tampered,
    Unreachable,
)
from commander.files import PRIVATE_FILE
from commander.plugin.context import Context
from commander.vault import attachments
from commander.vault.attachments import Attachment, NewFile
from commander.wire import calls
from commander.wire.known_server import KnownServer

_PLACE = re.compile(r"/api/rest/sm/v1/files/[A-Za-z0-9_-]{1,512}", re.ASCII)


class Carrier(Protocol):
    """Carries sealed bytes; `api.transfers.Transfers` fits it."""

    async def upload(self, place: str, pieces: AsyncIterator[bytes], *, size: int) -> None:
        """Send the pieces."""
        ...

    def download(self, place: str, *, size: int) -> AsyncIterator[bytes]:
        """The bytes as they come."""
        ...


class Carriers:
    """Opens a carrier to a server; tests put another one into the context."""

    @asynccontextmanager
    async def open(self, server: KnownServer) -> AsyncIterator[Carrier]:
        """Verified as all connections are."""
        proxy = choose_proxy(os.environ, server.address)
        transport = HttpTransport(server.address, verified_context(server.ca), proxy=proxy)
        try:
            yield Transfers(transport)
        finally:
            await transport.close()


@dataclass(frozen=True)
class LocalFile:
    """A file of this machine that is to be attached."""

    path: Path
    new: NewFile


def read_local(path: Path) -> LocalFile:
    """Look at a file before anything is changed. Raises NotFound, InvalidInput, CommanderError."""
    try:
        found = path.stat()
    except FileNotFoundError:
        raise NotFound(f"there is no file {str(path)!r}") from None
    except OSError as error:
        raise CommanderError(f"{path} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(found.st_mode):
        raise InvalidInput(f"{path} is not a plain file")
    attachments.check_new(path.name, found.st_size)
    return LocalFile(path, NewFile(path.name, found.st_size, int(found.st_mtime * 1000)))


async def attach(context: Context, record: str, files: Sequence[LocalFile]) -> None:
    """
    Bring files to a record, all or none; the record names them once their bytes are there.

    Raises what goes wrong; what was brought by then is taken away again.
    """
    vault, new = context.vault, [file.new for file in files]
    await attachments.announce(vault, record, new)
    try:
        answer = await vault.remote.call(calls.ATTACHMENTS, calls.AttachmentsRequest(record))
        places = {row.file: row.place for row in answer.attachments}
        async with _carriers(context).open(vault.login.device.server) as carrier:
            for file in files:
                context.console.progress(f"{file.new.name}: {file.new.size} bytes")
                place = _checked(places.get(file.new.uid, ""), file.new.name)
                await carrier.upload(place, _sealed(file), size=file.new.sealed_size)
        await attachments.name(vault, record, new)
    except BaseException:
        with contextlib.suppress(CommanderError):
            await attachments.remove(vault, record, [file.uid for file in new])
        raise


async def _sealed(file: LocalFile) -> AsyncIterator[bytes]:
    sealer, left = StreamSealer(file.new.key), file.new.size
    with await asyncio.to_thread(file.path.open, "rb") as opened:
        while piece := await asyncio.to_thread(opened.read, PIECE_BYTES):
            left -= len(piece)
            if left < 0:
                break
            yield sealer.feed(piece)
    if left:
        raise Conflict(f"{file.path} changed while it was read", hint="try again")
    yield sealer.finish()


async def save(context: Context, attachment: Attachment, target: Path) -> None:
    """
    Write an attachment to a new file, 0600, once all of it has verified.

    Raises Conflict when something is there, Tampered, Unreachable, CommanderError.
    """
    _need_new(target)
    try:
        handle, source = _open_nameless(target.parent, attachment.uid)
    except OSError as error:
        raise CommanderError(f"{target} cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(handle, "wb") as file:
            await _receive(context, attachment, file)
            await asyncio.to_thread(os.fsync, handle)
            # A link, unlike a rename, never takes the place of what somebody put there meanwhile.
            # The descriptor makes Python use the call that follows /proc's link to the file.
            os.link(source, target, src_dir_fd=handle, follow_symlinks=True)
    except FileExistsError:
        raise Conflict(f"{target} exists", hint="choose another name with -o") from None
    except OSError as error:
        raise CommanderError(f"{target} cannot be written: {error.strerror}") from error
    finally:
        if source.parent == target.parent:
            source.unlink(missing_ok=True)


def _open_nameless(directory: Path, uid: str) -> tuple[int, Path]:
    """
    A private file that has no name yet, and the path to link it from.

    After a crash nothing of it is left; where the system has no such files, one with a hidden
    name stands in.
    """
    flags = os.O_WRONLY | os.O_CLOEXEC
    nameless = getattr(os, "O_TMPFILE", 0)
    if nameless:
        with contextlib.suppress(OSError):
            handle = os.open(directory, flags | nameless, PRIVATE_FILE)
            return handle, Path(f"/proc/self/fd/{handle}")
    path = directory / f".{uid}.{os.getpid()}.part"
    return os.open(path, flags | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, PRIVATE_FILE), path


def _need_new(target: Path) -> None:
    if os.path.lexists(target):
        raise Conflict(f"{target} exists", hint="choose another name with -o")


async def _receive(context: Context, attachment: Attachment, file: IO[bytes]) -> None:
    async for piece in _opened(context, attachment):
        await asyncio.to_thread(file.write, piece)
    await asyncio.to_thread(file.flush)


async def read_whole(context: Context, attachment: Attachment, *, limit: int) -> bytes:
    """An attachment in memory. Raises InvalidInput over the limit, Tampered, Unreachable."""
    if attachment.row.size > limit:
        raise InvalidInput(
            f"attachment {attachment.name!r} has more than {limit} bytes",
            hint="download-attachment writes it to a file",
        )
    return b"".join([piece async for piece in _opened(context, attachment)])


async def _opened(context: Context, attachment: Attachment) -> AsyncIterator[bytes]:
    """The content piece by piece; it counts when the last piece has come without an error."""
    row = attachment.row
    if not row.uploaded:
        raise Unreachable(
            f"the bytes of attachment {attachment.name!r} have not come yet", hint="try again later"
        )
    place = _checked(row.place, attachment.name)
    opener = StreamOpener(attachment.key)
    try:
        async with _carriers(context).open(context.vault.login.device.server) as carrier:
            async for piece in carrier.download(place, size=row.size):
                yield opener.feed(piece)
        opener.finish()
    except SealBroken:
        raise Tampered(
            f"attachment {attachment.name!r} does not open: it was altered or cut off",
            hint="do not use it; tell an administrator",
        ) from None


def _checked(place: str, name: str) -> str:
    """A place on the pinned server and nowhere else."""
    if not place:
        raise NotFound(f"the server has no place for {name!r}", hint="try again")
    if not _PLACE.fullmatch(place):
        raise Tampered(f"the server names a place for {name!r} that is none of its own")
    return place


def _carriers(context: Context) -> Carriers:
    return context.shared(Carriers, Carriers)
