"""Tests of `exec` and `inject`, on a vault in memory."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from commander.errors import CommanderError, Conflict, InvalidInput, NotFound, UsageError
from commander.plugin.results import Exited, Text
from commander.wire.records import RecordData
from plugins.programs import plugin
from tests.support.command_world import World

PASSWORD = "s3cret-pässword"


@pytest.fixture
async def orders(world: World) -> World:
    """A world with a record `Orders / DB`."""
    data = RecordData.create("login", "Orders / DB")
    data.set_first("login", "app")
    data.set_first("password", PASSWORD)
    await world.vault.create_record(data, uid="pbxV4snkAP9KGCUhSb6aQQ")
    return world


async def run_shell(world: World, script: str, *flags: str) -> int:
    """`exec FLAGS -- sh -c SCRIPT`; the exit code."""
    words = ["exec", *flags, "--", "/bin/sh", "-c", script]
    result = await world.run(plugin, " ".join(f"'{word}'" for word in words))
    assert isinstance(result, Exited)
    return result.code


async def test_values_come_into_the_environment(
    orders: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From our own environment, from a file, from a flag; the last of them counts."""
    monkeypatch.setenv("INHERITED", r"keeper://Orders \/ DB/field/login")
    monkeypatch.setenv("PLAIN", "see keeper://x")
    (tmp_path / "app.env").write_text(
        "A=from-file\nB=keeper://pbxV4snkAP9KGCUhSb6aQQ/title\n"
        "URL=pg://{{keeper://pbxV4snkAP9KGCUhSb6aQQ/field/password|url}}@h\n"
    )
    expected = {
        "INHERITED": "app", "PLAIN": "see keeper://x", "A": "flag", "B": "Orders / DB",
        "P": PASSWORD, "URL": "pg://s3cret-p%C3%A4ssword@h",
    }  # fmt: skip
    script = " && ".join(f'test "${name}" = "{value}"' for name, value in expected.items())

    code = await run_shell(
        orders,
        script,
        f"--env-file={tmp_path / 'app.env'}",
        "--env=A=flag",
        "--env=P=keeper://pbxV4snkAP9KGCUhSb6aQQ/field/password",
    )

    assert code == 0
    assert await run_shell(orders, "exit 7") == 7


async def test_masked_output_shows_no_secret(
    orders: World, capfd: pytest.CaptureFixture[str]
) -> None:
    """On both outputs; a short value is left, and said to be."""
    flags = ("--env=P=keeper://pbxV4snkAP9KGCUhSb6aQQ/field/password",
             "--env=L=keeper://pbxV4snkAP9KGCUhSb6aQQ/field/login")  # fmt: skip

    await run_shell(orders, 'echo "$L:$P"; printf %s "$P" | base64 >&2', *flags, "--mask")

    out, err = capfd.readouterr()
    assert out == "app:********\n"
    assert err.startswith("********")
    assert orders.context.console.notices == ["1 values of under 4 bytes are not masked"]


@pytest.mark.parametrize(
    ("flag", "error", "reason"),
    [
        ("--env=P=keeper://none/field/password", NotFound, "P: no record 'none'"),
        ("--env=P=keeper://pbxV4snkAP9KGCUhSb6aQQ/field/url", NotFound, "P: .*is not there"),
        ("--env=P=keeper://pbxV4snkAP9KGCUhSb6aQQ/fild/url", InvalidInput, "P: .*no notation"),
        ("--env=P={{keeper://pbxV4snkAP9KGCUhSb6aQQ/title|x}}", InvalidInput, "P: .*no filter"),
        ("--env=P", InvalidInput, "not NAME=VALUE"),
        ("--env-file=/nonexistent", NotFound, "no file"),
        ("--env-file=/", CommanderError, "cannot be read"),
    ],
    # pytest puts the id into the environment, where it would be read as well.
    ids=range(7),
)
async def test_a_program_is_not_started_without_its_secrets(
    orders: World, tmp_path: Path, flag: str, error: type[CommanderError], reason: str
) -> None:
    """The variable and the reason are named, and nothing has run."""
    with pytest.raises(error, match=reason):
        await run_shell(orders, f"touch {tmp_path}/started", flag)

    assert not (tmp_path / "started").exists()


async def test_a_title_of_two_records_is_ambiguous(orders: World) -> None:
    """Neither is taken; both are named."""
    await orders.vault.create_record(RecordData.create("login", "Orders / DB"))

    with pytest.raises(Conflict, match=r"names 2 records: .*pbxV4snkAP9KGCUhSb6aQQ"):
        await run_shell(orders, "true", r"--env=P=keeper://Orders \/ DB/title")


async def test_notation_in_arguments_is_left_and_said_to_be(orders: World) -> None:
    """A command line is no place for a secret."""
    await run_shell(orders, 'test "keeper://x" = "keeper:""//x"')

    assert "not replaced" in orders.context.console.notices[0]


async def test_exec_wants_a_program(orders: World) -> None:
    """Exit code 2 and an example."""
    with pytest.raises(UsageError, match="no program"):
        await orders.run(plugin, "exec")


TEMPLATE = "password: keeper://pbxV4snkAP9KGCUhSb6aQQ/field/password\r\n\tx\n"
FILLED = f"password: {PASSWORD}\r\n\tx\n"


async def test_a_template_is_filled_exactly(orders: World, tmp_path: Path) -> None:
    """Line ends and tabs stay; to standard output, as JSON, into a file of our own."""
    template, target = tmp_path / "t", tmp_path / "out"
    template.write_bytes(TEMPLATE.encode())

    assert await orders.run(plugin, f"inject {template}") is None
    assert orders.context.console.data == FILLED.encode()
    assert await orders.run(plugin, f"inject {template} --format json") == Text(FILLED)
    made = await orders.json(plugin, f"inject {template} -o {target}")
    assert (made["file"], made["values"]) == (str(target), 1)
    assert target.read_bytes() == FILLED.encode()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


async def test_nothing_that_is_there_is_replaced_unasked(orders: World, tmp_path: Path) -> None:
    """-f replaces a file, and never a link or a directory."""
    template, target, link = tmp_path / "t", tmp_path / "out", tmp_path / "link"
    template.write_text("x")
    target.write_text("old")
    link.symlink_to(target)

    for words in (str(target), f"{link} -f", f"{tmp_path} -f"):
        with pytest.raises(Conflict):
            await orders.run(plugin, f"inject {template} -o {words}")
    with pytest.raises(CommanderError):
        await orders.run(plugin, f"inject {template} -o {tmp_path}/none/out")
    await orders.run(plugin, f"inject {template} -o {target} -f")

    assert target.read_text() == "x"


@pytest.mark.parametrize("data", [b"\xff", b"x" * (4 * 1024 * 1024 + 1)])
async def test_what_is_no_template_is_refused(orders: World, tmp_path: Path, data: bytes) -> None:
    """Bytes that are no text, and more than 4 MiB."""
    (tmp_path / "t").write_bytes(data)

    with pytest.raises(InvalidInput):
        await orders.run(plugin, f"inject {tmp_path / 't'}")
