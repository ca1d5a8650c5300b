"""Declares `share-folder`; the work is in the module the handler names."""

from __future__ import annotations

from commander.plugin.command import ArgumentKind, Command, Group, flag, option, positional
from commander.plugin.hookspecs import hookimpl


@hookimpl
def commander_commands() -> list[Command | Group]:
    """Who may use shared folders."""
    return [
        Command(
            path="share-folder",
            aliases=("sf",),
            summary="list the members of a shared folder, or let users and applications in or out",
            description=(
                "Without -e it lists. A grant replaces the one before it, its end included. When a\n"
                "share ends, live tunnels through it end too."
            ),
            example="share-folder Infrastructure -e bob@example.org -w --expire-in 8h",
            arguments=(
                positional("folder", kind=ArgumentKind.FOLDER, help="shared folder: name, path or UID"),
                option(
                    "--email", "-e", kind=ArgumentKind.USER, repeat=True, metavar="WHO",
                    help="user (e-mail or UID) or application (name or UID)",
                ),
                option(
                    "--action", "-a", choices=("grant", "remove", "revoke"),
                    help="what to do (default: grant)",
                ),
                flag("--can-edit", "-w", help="may change records"),
                flag("--can-share", "-s", help="may let others in (users only)"),
                option("--expire-in", kind=ArgumentKind.DURATION, help="ends after so long, such as 8h"),
                option("--expire-at", metavar="TIME", help="ends then: ISO 8601, UTC unless it says"),
            ),
            exclusive=(("expire_in", "expire_at"),),
            listing=True,
            handler="plugins.sharing.share_folder:share_folder",
        ),
    ]  # fmt: skip
