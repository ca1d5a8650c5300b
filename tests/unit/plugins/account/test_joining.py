from __future__ import annotations

from pathlib import Path

import pytest

from commander.config.paths import Paths
from commander.crypto.signing import SigningKey
from commander.errors import CommanderError, Conflict, InvalidInput, NotFound, UsageError
from commander.files import write_private
from commander.plugin.command import Arguments, Value
from commander.plugin.testing import FakeConsole, FakeContext
from commander.vault.accounts import find_account_secret
from commander.wire.join import Join, read_join, write_join
from plugins.account.joining import (
    ca_fingerprint,
    check_new_file,
    machine_name,
    read_join_argument,
    read_text_file,
    remember_server,
    write_new_file,
)
from plugins.account.kit import make_kit
from plugins.account.passwords import read_new_password
from tests.support.vaults import SERVER, candidate, device_for

JOIN = Join("invite", "vault.example:8443", bytes(32), bytes(range(32)), b"")


def arguments(**values: Value) -> Arguments:
    known: dict[str, Value] = {
        "join": None,
        "join_file": None,
        "device_name": None,
        "password_file": None,
        "password_stdin": False,
    }
    return Arguments(known | values)


async def test_join_string_comes_from_file_stdin_line_or_question(tmp_path: Path) -> None:
    """Only on the line it warns that others can read it."""
    text = write_join(JOIN)
    path = tmp_path / "join"
    path.write_text(text + "\n")
    context = FakeContext()

    context.console = FakeConsole(stdin=text.encode() + b"\n")
    assert await read_join_argument(context, arguments(join="-"), "invite") == JOIN
    assert await read_join_argument(context, arguments(join_file=str(path)), "invite") == JOIN
    assert not context.console.notices
    assert await read_join_argument(context, arguments(join=text), "invite") == JOIN
    assert "other users" in context.console.notices[0]
    context.console = FakeConsole(text)
    assert await read_join_argument(context, arguments(), "invite") == JOIN
    context.console = FakeConsole()
    with pytest.raises(UsageError):
        await read_join_argument(context, arguments(), "invite")


async def test_join_string_of_another_kind_does_not_quote_its_secret() -> None:
    """The message names the kinds only."""
    text = write_join(JOIN)

    with pytest.raises(InvalidInput) as caught:
        await read_join_argument(FakeContext(), arguments(join=text), "setup")

    assert text[10:40] not in caught.value.message + caught.value.hint


def test_text_files_are_bounded_and_named(tmp_path: Path) -> None:
    """Missing, binary, huge, a directory: an error that names the path."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "huge").write_bytes(b"x" * 300_000)
    (tmp_path / "good").write_text("hello")

    assert read_text_file(tmp_path / "good", "kit") == "hello"
    for name, error in (
        ("missing", NotFound),
        ("binary", InvalidInput),
        ("huge", InvalidInput),
        ("", CommanderError),
    ):
        with pytest.raises(error, match=str(tmp_path)):
            read_text_file(tmp_path / name, "kit")


def test_new_files_never_replace_anything(tmp_path: Path) -> None:
    """Not a file, not a link that leads nowhere; private from the first byte on."""
    write_new_file(tmp_path / "new", "text")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")

    assert (tmp_path / "new").read_text() == "text\n"
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600
    for name in ("new", "link"):
        with pytest.raises(Conflict):
            check_new_file(tmp_path / name)
    with pytest.raises(NotFound):
        check_new_file(tmp_path / "no" / "where")


def test_options_keep_what_else_they_say(tmp_path: Path) -> None:
    """Server and user are set; comments and other options stay."""
    paths = Paths(tmp_path / "home", tmp_path / "run")
    paths.home.mkdir(mode=0o700)
    write_private(paths.options_file, b"# mine\nformat: json\nserver: old:1\n")
    account = candidate("ann@example.org")

    remember_server(FakeContext(paths=paths), device_for(account, bytes(32)))

    text = paths.options_file.read_text()
    assert "# mine\nformat: json\n" in text
    assert f'server: "{SERVER.address}"' in text
    assert 'user: "ann@example.org"' in text


@pytest.mark.parametrize("name", ["x" * 129, "a\x1bb"])
def test_odd_device_names_are_refused(name: str) -> None:
    """A device name is shown to administrators."""
    with pytest.raises(UsageError):
        machine_name(arguments(device_name=name))


def test_machine_has_a_name_by_itself() -> None:
    """Its host name, unless one is given."""
    assert machine_name(arguments())
    assert machine_name(arguments(device_name="laptop")) == "laptop"


def test_kit_holds_what_a_new_machine_needs() -> None:
    """Secret and login string are read back from the page; its repr shows neither."""
    account = candidate("ann@example.org", with_root=True)
    device = device_for(account, bytes(range(32)))

    kit = make_kit(device, account.secret, account.identity.root, b"")
    text = kit.text()

    assert find_account_secret(text) == account.secret
    word = next(word for word in text.split() if word.startswith("join1."))
    join = read_join(word, "login")
    assert (join.root, join.server) == (device.root, SERVER.address)
    assert "R1-" in text
    assert account.secret.text not in repr(kit)
    without = make_kit(device, account.secret, None, b"").text()
    # The join string is random, and may hold the three characters by chance.
    assert "R1-" not in without.replace(next(w for w in without.split() if "join1." in w), "")


def test_fingerprint_is_of_one_certificate_only() -> None:
    """No CA, or something that is none: nothing to pin."""
    assert ca_fingerprint(SERVER) == b""


async def test_new_password_is_typed_twice() -> None:
    """Different or short ones are refused; standard input is not asked twice."""
    context = FakeContext()
    context.console = FakeConsole("correct horse", "correct horse")
    assert (await read_new_password(context, arguments())).reveal() == b"correct horse"
    context.console = FakeConsole("correct horse", "correct house")
    with pytest.raises(InvalidInput):
        await read_new_password(context, arguments())
    context.console = FakeConsole("short")
    with pytest.raises(InvalidInput):
        await read_new_password(context, arguments())
    context.console = FakeConsole(stdin=b"correct horse\n")
    password = await read_new_password(context, arguments(password_stdin=True))
    assert password.reveal() == b"correct horse"


def test_root_key_is_in_no_repr() -> None:
    """Identity keys do not show either."""
    account = candidate("ann@example.org", with_root=True)

    assert isinstance(account.identity.root, SigningKey)
    assert "SigningKey" not in repr(account.identity)
    assert "secret" not in repr(account)
