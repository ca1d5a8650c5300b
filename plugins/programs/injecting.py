"""`inject`: a text with notation in it, filled in."""

from __future__ import annotations

from pathlib import Path

from commander.errors import CommanderError, Conflict, InvalidInput
from commander.files import check_own_directory, write_private
from commander.plugin.command import Arguments
from commander.plugin.context import Context
from commander.plugin.results import Done, Result, Text
from plugins.programs.resolving import find_values
from plugins.programs.running import read_file
from plugins.programs.templates import parse_template

MAX_TEMPLATE = 4 * 1024 * 1024


async def inject(context: Context, arguments: Arguments) -> Result | None:
    """Fill a template, onto standard output or into a file of mode 0600."""
    name = arguments.text("template")
    text = await _read(context, name)
    output = arguments.text_or_none("output")
    target = Path(output) if output is not None else None
    if target is not None:
        check_target(target, force=arguments.flag("force"))
    template = parse_template(text)
    vault = context.vault
    await vault.refresh()
    values = await find_values(context, [(name, place[0]) for place in template.places])
    filled = template.fill(values)
    if target is None and arguments.format != "table":
        return Text(filled)
    data = filled.encode("utf-8", "surrogateescape")
    if target is None:
        context.console.emit_data(data)
        return None
    write_private(target, data)
    return Done(
        f"{target} written, {len(template.places)} values put in",
        {"file": str(target), "values": len(template.places)},
    )


async def _read(context: Context, name: str) -> str:
    if name == "-":
        data = await context.console.read_stdin(limit=MAX_TEMPLATE)
    else:
        data = read_file(Path(name), limit=MAX_TEMPLATE)
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise InvalidInput(f"{name} is not UTF-8 text") from None


def check_target(path: Path, *, force: bool) -> None:
    """Raise unless a private file may be put there; links and what is no file are never replaced."""
    try:
        check_own_directory(path.parent)
    except OSError as error:
        raise CommanderError(f"{path.parent}: {error.strerror}") from error
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise Conflict(f"{path} is not a plain file", hint="choose another name")
    if path.exists() and not force:
        raise Conflict(f"{path} exists", hint="-f replaces it")
