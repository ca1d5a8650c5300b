from __future__ import annotations

import pytest

from commander.shell.prompt_text import MAX_PATH, prompt_text, shorten_middle, status_text


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ((), "My Vault> "),
        (("Infra",), "My Vault/Infra> "),
        (("a/b", "c"), "My Vault/a//b/c> "),
        (("\x1b[2J",), "My Vault/\\x1b[2J> "),
    ],
)
def test_prompt_shows_the_folder(path: tuple[str, ...], expected: str) -> None:
    """The path stands under the vault's name, slashes doubled, controls escaped."""
    assert prompt_text("My Vault", path, is_logged_in=True) == expected


def test_prompt_before_login() -> None:
    """Without a session there is no folder."""
    assert prompt_text("My Vault", ("x",), is_logged_in=False) == "Not logged in> "


def test_long_paths_lose_their_middle() -> None:
    """Beginning and end stay, the whole is never longer than the limit."""
    text = prompt_text("My Vault", ["folder"] * 20, is_logged_in=True)

    assert len(text) == MAX_PATH + 2
    assert text.startswith("My Vault/")
    assert text.endswith("/folder> ")
    assert shorten_middle("x" * 9, 5) == "x…xxx"


@pytest.mark.parametrize(
    ("user", "server", "tunnels", "expected"),
    [
        ("", "", 0, "not logged in  |  no server"),
        ("a@b.c", "h:1", 1, "a@b.c  |  h:1  |  1 tunnel open"),
        ("a\x1b", "h:1", 3, "a\\x1b  |  h:1  |  3 tunnels open"),
    ],
)
def test_status_line(user: str, server: str, tunnels: int, expected: str) -> None:
    """User, server and open tunnels, as far as there are any."""
    assert status_text(user, server, tunnels) == expected
