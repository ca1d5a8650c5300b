"""What `config.yaml` may say. Unknown names and bad values are errors (`options_file`)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """
    The user's options; each field is a key of config.yaml, flat, with this default.

    Nothing here is secret: keys and tokens have files of their own.
    """

    # host:port of the server; `login` and `setup` write it.
    server: str = ""
    # The account `login` signs in when none is named.
    user: str = ""
    # PEM file with the server's certificate authority, when it is not pinned by a join string.
    ca_file: str = ""
    # Default of --format.
    format: str = "table"
    # Keep lines of the session for later sessions (never those with secrets).
    history: bool = True
    history_lines: int = 2000
    # The first local port that is tried for a tunnel without one.
    first_port: int = 49152
    # Name of the vault in the prompt.
    vault_name: str = "My Vault"
    # Key bindings of the session: emacs or vi.
    editing: str = "emacs"
    # Plugins that are not loaded, by entry point name.
    disabled_plugins: tuple[str, ...] = ()


CHOICES = {
    "format": ("table", "json", "csv", "yaml"),
    "editing": ("emacs", "vi"),
}
RANGES = {
    "history_lines": (0, 100_000),
    "first_port": (1024, 65_535),
}
