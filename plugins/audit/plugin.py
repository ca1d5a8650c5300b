"""Declares `audit-log` and `audit verify`; the work is in the modules the handlers name."""

from __future__ import annotations

from commander.plugin.command import ArgumentKind, Command, Group, option
from commander.plugin.hookspecs import hookimpl

_MODULE = "plugins.audit"
_TIME_HELP = "ISO 8601 (UTC unless it says), or how long ago: 30m, 8h, 7d"


@hookimpl
def commander_commands() -> list[Command | Group]:
    """Reading the audit log, and proving that it is whole."""
    return [
        Group("audit", "prove that the audit log is whole"),
        Command(
            path="audit-log",
            aliases=("al",),
            summary="show events of the audit log, oldest first",
            description="For administrators. Of more than --limit events the newest are shown.",
            example='audit-log --since 8h --record "Orders DB" --format json',
            arguments=(
                option("--since", metavar="TIME", help=_TIME_HELP),
                option("--until", metavar="TIME", help=_TIME_HELP),
                option("--user", kind=ArgumentKind.USER, help="about this user: e-mail or UID"),
                option("--record", kind=ArgumentKind.RECORD, help="about this record: title, path or UID"),
                option("--event", help="only this kind, such as tunnel-outcome"),
                option("--producer", kind=ArgumentKind.GATEWAY, help="written by: a gateway, a device's UID, or server"),
                option("--limit", kind=ArgumentKind.INT, default=200, help="at most so many, the newest: 1 to 100000"),
            ),
            listing=True,
            handler=f"{_MODULE}.show_log:audit_log",
        ),
        Command(
            path="audit verify",
            summary="check every chain of the audit log; exit 0 only if all hold",
            description=(
                "Checks signatures and order of every entry against the keys in the authority log,\n"
                "and that nothing seen by the last check on this machine is gone."
            ),
            example="audit verify --format json",
            handler=f"{_MODULE}.verify_log:audit_verify",
        ),
    ]  # fmt: skip
