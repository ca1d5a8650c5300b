from __future__ import annotations

import pytest

from commander.plugin.registry import Registry
from commander.shell.redaction import Keep, may_keep
from plugins.shell import plugin as shell_plugin
from tests.unit.plugin import sample


@pytest.fixture(scope="module")
def registry() -> Registry:
    registry = Registry()
    registry.add("sample", sample.commander_commands())
    registry.add("shell", shell_plugin.commander_commands())
    return registry


@pytest.mark.parametrize(
    "line",
    [
        'pam tunnel start "Orders DB" --port 15432',
        "record-add --title T login=me url=https://x",
        "record-add --title T password=$GEN:rand,20",
        "record-add --title T 'password=${PW}'",
        "set TITLE x; echo ${TITLE}",
        "pam tunnel",
        "echo passwords are stored elsewhere",
        "pam t start X --target-host=passage",
        "record-add --title T c.text.passenger=1 f.spinning=2 keyboard=3",
    ],
)
def test_lines_without_secrets_are_kept(registry: Registry, line: str) -> None:
    """The control: ordinary lines, generated and referenced passwords stay in the history."""
    assert may_keep(line, registry) is Keep.FILE


@pytest.mark.parametrize(
    "line",
    [
        "record-add --title T password=hunter2",
        "record-add --title T 'f.password=hunter2'",
        "record-add --title T c.secret.apiKey=hunter2",
        "record-add --title T c.text.API_TOKEN=hunter2",
        "record-add --title T oneTimeCode=otpauth://totp/x",
        "record-add --title T f.pinCode=1234",
        "record-add --title T c.text.accessKey=1 f.PIN=2",
        "set DBPASSWORD x",
        "record-add --title T --pin-code 1234",
        "record-add --title T --pin-code=1234 --bogus",
        "record-add --bogus 1234 --title T",
        "login --password=hunter2",
        "set DB_PASSWORD hunter2",
        "echo fine; set TOKEN abc",
        "hunter2",
        "correct horse battery staple",
        "echo 'unfinished hunter2",
        " echo begins with a blank",
        "",
        "# comment",
    ],
)
def test_b016_lines_with_secrets_are_forgotten(registry: Registry, line: str) -> None:
    """Secret arguments, telling names, typed passwords and unreadable lines are not kept."""
    assert may_keep(line, registry) is Keep.NOT


@pytest.mark.parametrize(
    "line", ["pam tunel start X", "pam tunnel strat X", "pam t start X --prot 1"]
)
def test_slips_are_kept_for_this_session_only(registry: Registry, line: str) -> None:
    """A mistyped command can be called back and mended, and never reaches the file."""
    assert may_keep(line, registry) is Keep.MEMORY
