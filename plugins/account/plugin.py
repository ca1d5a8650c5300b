from __future__ import annotations

from commander.plugin.command import (
    Argument,
    ArgumentKind,
    Command,
    Group,
    flag,
    option,
    positional,
)
from commander.plugin.hookspecs import hookimpl
from commander.plugin.secret_input import secret_arguments

_MODULE = "plugins.account"
_PASSWORD = secret_arguments("password", "the password")
_JOIN_FILE = option("--join-file", kind=ArgumentKind.PATH, help="read the join string from a file")
_DEVICE_NAME = option("--device-name", help="name of this machine (default: its host name)")
_KIT_FILE = option(
    "--kit-file", kind=ArgumentKind.PATH, help="write the emergency kit to this new file, 0600"
)


@hookimpl
def commander_commands() -> list[Command | Group]:
    """Accounts, logins and this device."""
    return [*_login_commands(), *_account_commands(), *_device_commands()]


def _account_commands() -> list[Command | Group]:
    return [
        Command(
            path="setup",
            summary="make the first account of a new server",
            example="setup --join-file join.txt ann@example.org --kit-file kit.txt",
            description=(
                "Consumes the set-up join string that `commander-server start` prints once. Makes\n"
                "the account, the enterprise root, the Administrators role, a shared folder and an\n"
                "application named Infrastructure, and a one-time token for a gateway. Shows the\n"
                "emergency kit once."
            ),
            arguments=(
                positional("join", required=False, help="the join string, or - to read it", secret=True),
                positional("email", required=False, help="the account's e-mail"),
                _JOIN_FILE,
                *_PASSWORD,
                _KIT_FILE,
                _DEVICE_NAME,
                option("--enterprise", default="Enterprise", help="name of the enterprise"),
                option("--gateway-name", default="Gateway", help="name of the first gateway"),
                option("--gateway-join-file", kind=ArgumentKind.PATH, help="write the gateway's join string to this file, 0600"),
                flag("--no-gateway", help="make no folder, application and gateway token"),
                flag("--if-missing", help="do nothing when this machine has an account there already"),
            ),
            handler=f"{_MODULE}.setup:setup",
            needs_login=False,
        ),
        Group("account", "make accounts for people"),
        Command(
            path="account invite",
            summary="print a join string with which a person makes an account",
            example="account invite bob@example.org --role Administrators",
            arguments=(
                positional("email", kind=ArgumentKind.USER, help="the person's e-mail"),
                option("--role", kind=ArgumentKind.ROLE, repeat=True, help="roles to give after they joined"),
                option("--expires-in", kind=ArgumentKind.DURATION, default=7 * 24 * 3600, help="how long it is valid"),
                option("--join-file", kind=ArgumentKind.PATH, help="write the join string to this new file, 0600"),
            ),
            handler=f"{_MODULE}.invitations:invite",
        ),
        Command(
            path="account accept",
            summary="make the account that an invitation is for",
            example="account accept --join-file join.txt --kit-file kit.txt",
            arguments=(
                positional("join", required=False, help="the join string, or - to read it", secret=True),
                _JOIN_FILE,
                *_PASSWORD,
                _KIT_FILE,
                _DEVICE_NAME,
            ),
            handler=f"{_MODULE}.invitations:accept",
            needs_login=False,
        ),
    ]  # fmt: skip


def _login_commands() -> list[Command | Group]:
    login_arguments: tuple[Argument, ...] = (
        positional("email", required=False, help="the account (default: this machine's)"),
        option("--server", help="host:port of the server, on a new machine"),
        option("--ca-file", kind=ArgumentKind.PATH, help="PEM file with the server's CA"),
        *_PASSWORD,
        option(
            "--account-secret-file",
            kind=ArgumentKind.PATH,
            help="file with the account secret or the whole emergency kit, on a new machine",
        ),
        option("--login-string", help="the kit's login string (join1...), on a new machine"),
        _DEVICE_NAME,
    )
    return [
        Command(
            path="login",
            summary="unlock the vault on this machine",
            example="login ann@example.org --account-secret-file kit.txt",
            description=(
                "On a machine that has the account already only the password is asked for. A new\n"
                "machine also needs the emergency kit."
            ),
            arguments=login_arguments,
            handler=f"{_MODULE}.login:login",
            needs_login=False,
        ),
        Command(
            path="logout",
            summary="end the session and lock the vault",
            example="logout",
            handler=f"{_MODULE}.status:logout",
            needs_login=False,
        ),
        Command(
            path="login-status",
            summary="say whether a login is kept; exit 5 when not",
            example="login-status",
            handler=f"{_MODULE}.status:login_status",
            needs_login=False,
        ),
        Command(
            path="whoami",
            summary="show account, device, server and roles",
            example="whoami --format json",
            handler=f"{_MODULE}.status:whoami",
        ),
        Command(
            path="sync-down",
            aliases=("d",),
            summary="fetch and verify what is new",
            example="sync-down",
            arguments=(flag("--force", "-f", help="fetch everything again"),),
            handler=f"{_MODULE}.status:sync_down",
        ),
    ]


def _device_commands() -> list[Command | Group]:
    return [
        Command(
            path="this-device",
            summary="show this machine's registration",
            example="this-device",
            handler=f"{_MODULE}.device:show",
            needs_login=False,
        ),
        Command(
            path="this-device register",
            summary="make sure that this machine is certified in the authority log",
            example="this-device register",
            handler=f"{_MODULE}.device:register",
        ),
        Command(
            path="this-device rename",
            summary="give this machine another name",
            example='this-device rename "work laptop"',
            arguments=(positional("name", help="1 to 128 characters"),),
            handler=f"{_MODULE}.device:rename",
            needs_login=False,
        ),
        Command(
            path="this-device timeout",
            summary="set after how long without a command the vault locks",
            example="this-device timeout 30m",
            arguments=(positional("time", kind=ArgumentKind.DURATION, help="1m to 30d"),),
            handler=f"{_MODULE}.device:set_timeout",
            needs_login=False,
        ),
    ]
