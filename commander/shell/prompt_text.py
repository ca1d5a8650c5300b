"""What the session shows around the line: prompt and status line. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from commander.shell.output.gate import escape_line

MAX_PATH = 40
NOT_LOGGED_IN = "Not logged in> "


def prompt_text(vault_name: str, path: Sequence[str], *, is_logged_in: bool) -> str:
    """`My Vault/Infra> `, or `Not logged in> `; a long path is shortened in its middle."""
    if not is_logged_in:
        return NOT_LOGGED_IN
    whole = "/".join(escape_line(name).replace("/", "//") for name in (vault_name, *path))
    return shorten_middle(whole, MAX_PATH) + "> "


def shorten_middle(text: str, limit: int) -> str:
    """Cut out of the middle: the beginning says where, the end says what."""
    if len(text) <= limit:
        return text
    head = (limit - 1) // 3
    return text[:head] + "…" + text[-(limit - 1 - head) :]


def status_text(user: str, server: str, tunnels: int) -> str:
    """The status line: account, server, open tunnels."""
    parts = [
        escape_line(user) if user else "not logged in",
        escape_line(server) if server else "no server",
    ]
    if tunnels:
        parts.append(f"{tunnels} tunnel{'s' if tunnels > 1 else ''} open")
    return "  |  ".join(parts)
