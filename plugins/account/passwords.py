from __future__ import annotations

from commander.errors import InvalidInput
from commander.plugin.command import Arguments
from commander.plugin.context import Context
from commander.plugin.secret_input import read_secret
from commander.secret import Secret
from commander.vault.accounts import check_new_password


async def read_new_password(context: Context, arguments: Arguments) -> Secret:
    """A new password; typed ones are asked for twice. Raises InvalidInput when it is too weak."""
    password = await read_secret(context, arguments, "password", "New password")
    check_new_password(password.reveal())
    was_typed = not (arguments.was_given("password_file") or arguments.flag("password_stdin"))
    if was_typed:
        again = await context.console.ask_secret("Repeat it", flag="--password-file")
        if again != password:
            raise InvalidInput("the two passwords differ", hint="try again")
    return password
