"""What a removal does not do, said where it is done."""

from __future__ import annotations

from commander.plugin.context import Context


def tell_what_stays(context: Context, who: str) -> None:
    """Say that keys were not changed, which nobody should learn from a document only."""
    context.console.notice(
        f"keys are not changed: {who} can still open what is in the application's folders, and what comes into them, with "
        "keys that were kept and data of the server; put new values into a new shared folder (docs/who-sees-what.md)"
    )
