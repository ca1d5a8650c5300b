"""`exec`: a program with secrets in its environment."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path

from commander.errors import CommanderError, InvalidInput, NotFound, UsageError
from commander.ksm.notation import PREFIX
from commander.plugin.child import run_program
from commander.plugin.command import Arguments
from commander.plugin.context import Context
from commander.plugin.results import Exited
from plugins.programs.environment import (
    MAX_FILE,
    check_value,
    parse_environment,
    parse_setting,
)
from plugins.programs.masking import MIN_BYTES, Masker
from plugins.programs.resolving import find_values
from plugins.programs.templates import Template, parse_value


async def run(context: Context, arguments: Arguments) -> Exited:
    """Find the values, put them into the program's environment, run it, pass its code on."""
    words = list(arguments.texts("command"))
    if not words:
        raise UsageError("no program to run was given", hint="exec -- PROGRAM ARGUMENT...")
    given = settings(arguments, os.environ)
    templates = read_templates(given)
    if any(PREFIX in word for word in words):
        context.console.notice(
            "notation in arguments is not replaced: other users can read command lines"
        )
    vault = context.vault
    if templates:
        await vault.refresh()
    wanted = [(name, place[0]) for name, found in templates.items() for place in found.places]
    values = await find_values(context, wanted)
    environment = dict(given)
    for name, template in templates.items():
        environment[name] = check_value(template.fill(values), name)
    if not arguments.flag("mask"):
        return Exited(await run_program(words, environment))
    out, err = make_masks(context, values.values())
    return Exited(await run_program(words, environment, stdout=out, stderr=err))


def settings(arguments: Arguments, inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment as given: ours, then files in their order, then --env."""
    found = dict(inherited)
    for name in arguments.texts("env_file"):
        found.update(parse_environment(read_file(Path(name)), name=name))
    for text in arguments.texts("env"):
        name, value = parse_setting(text)
        found[name] = value
    return found


def read_templates(given: Mapping[str, str]) -> dict[str, Template]:
    """The values that hold notation. Raises InvalidInput naming the variable."""
    found = {}
    for name, text in given.items():
        if PREFIX not in text.lower():
            continue
        try:
            template = parse_value(text)
        except InvalidInput as error:
            raise InvalidInput(f"{name}: {error.message}", hint=error.hint) from None
        if template.places:
            found[name] = template
    return found


def read_file(path: Path, *, limit: int = MAX_FILE) -> bytes:
    """A file that holds no secrets itself. Raises NotFound, InvalidInput over `limit` bytes."""
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except FileNotFoundError:
        raise NotFound(f"there is no file {str(path)!r}") from None
    except OSError as error:
        raise CommanderError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > limit:
        raise InvalidInput(f"{path} is larger than {limit} bytes")
    return data


def make_masks(context: Context, values: Collection[str]) -> tuple[Masker, Masker]:
    """Filters for both outputs; says which values are too short to look for."""
    short = sum(len(value.encode("utf-8", "surrogateescape")) < MIN_BYTES for value in values)
    if short:
        context.console.notice(f"{short} values of under {MIN_BYTES} bytes are not masked")
    try:
        return Masker(values), Masker(values)
    except ValueError as error:
        raise InvalidInput(f"--mask: {error}", hint="name fewer or shorter values") from None
