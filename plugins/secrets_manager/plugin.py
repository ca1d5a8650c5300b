"""Declares `secrets-manager`; the work is in the modules the handlers name."""

from __future__ import annotations

from commander.plugin.command import ArgumentKind, Command, Group, flag, option, positional
from commander.plugin.hookspecs import hookimpl

_MODULE = "plugins.secrets_manager"
_NAME = positional("name", kind=ArgumentKind.APPLICATION, help="application: name or UID")
_APP = option(
    "--app", "-a", kind=ArgumentKind.APPLICATION, required=True, help="application: name or UID"
)
_SECRET = option(
    "--secret",
    "-s",
    kind=ArgumentKind.FOLDER,
    required=True,
    repeat=True,
    help="shared folder: name, path or UID",
)
_EMAIL = option("--email", "-u", kind=ArgumentKind.USER, required=True, help="the user's e-mail")
_IF_MISSING = flag("--if-missing", help="do nothing when it exists")


@hookimpl
def commander_commands() -> list[Command | Group]:
    """Applications, their clients and what they may read."""
    return [
        Group(
            "secrets-manager",
            "applications: machines that read secrets",
            aliases=("sm", "secrets"),
        ),
        *_application_commands(),
        *_client_commands(),
        *_share_commands(),
        _usage_command(),
        Command(
            path="secrets-manager server",
            summary="show what SDKs need to know of the server",
            example="secrets-manager server --ca-output ca.pem",
            arguments=(
                option(
                    "--ca-output",
                    kind=ArgumentKind.PATH,
                    help="write the server's certificate authority to a new file, for REQUESTS_CA_BUNDLE and NODE_EXTRA_CA_CERTS",
                ),
            ),
            handler=f"{_MODULE}.server:show",
        ),
    ]


def _application_commands() -> list[Command | Group]:
    return [
        Group("secrets-manager app", "make and list applications"),
        Command(
            path="secrets-manager app create",
            aliases=("secrets-manager app add",),
            summary="make an application",
            example="secrets-manager app create CI --if-missing",
            arguments=(positional("name", help="1 to 128 characters"), _IF_MISSING),
            handler=f"{_MODULE}.applications:create",
        ),
        Command(
            path="secrets-manager app list",
            summary="list applications",
            example="secrets-manager app list --format json",
            listing=True,
            handler=f"{_MODULE}.applications:list_applications",
        ),
        Command(
            path="secrets-manager app get",
            summary="show an application with its folders and clients",
            example="secrets-manager app get CI",
            arguments=(_NAME,),
            handler=f"{_MODULE}.applications:get",
        ),
        Command(
            path="secrets-manager app update",
            aliases=("secrets-manager app rename",),
            summary="give an application another name",
            example="secrets-manager app update CI --name Build",
            arguments=(
                _NAME,
                option("--new-name", "--name", "-n", required=True, help="1 to 128 characters"),
            ),
            handler=f"{_MODULE}.applications:update",
        ),
        Command(
            path="secrets-manager app share",
            summary="let somebody view an application, or manage it",
            description=(
                "Who has an application's key can open what it can: its folders are shared with\n"
                "them to view as well, now and when the application gets more."
            ),
            example="secrets-manager app share CI --email bob@example.org --admin",
            arguments=(
                _NAME,
                _EMAIL,
                flag("--admin", help="Application Admin: may make clients and share folders"),
            ),
            handler=f"{_MODULE}.application_users:share",
        ),
        Command(
            path="secrets-manager app unshare",
            summary="take an application from somebody",
            example="secrets-manager app unshare CI --email bob@example.org -f",
            arguments=(_NAME, _EMAIL),
            destructive=True,
            handler=f"{_MODULE}.application_users:unshare",
        ),
        Command(
            path="secrets-manager app remove",
            aliases=("secrets-manager app rem", "secrets-manager app rm"),
            summary="end an application with its clients and gateways",
            example="secrets-manager app remove CI -f",
            arguments=(_NAME,),
            destructive=True,
            handler=f"{_MODULE}.applications:remove",
        ),
    ]


def _client_commands() -> list[Command | Group]:
    return [
        Group("secrets-manager token", "one-time tokens of new clients"),
        Group("secrets-manager client", "make, list and remove clients of an application"),
        Command(
            path="secrets-manager client add",
            aliases=("secrets-manager token add",),
            summary="print a one-time token, or a configuration, for a new client",
            description=(
                "Either is shown once. With --config-init the keys are made here and only the\n"
                "configuration is printed on standard output."
            ),
            example="secrets-manager client add --app CI --name build --config-init b64",
            arguments=(
                _APP,
                option("--name", "-n", required=True, help="name of the client"),
                option(
                    "--first-access-expires-in-min",
                    "-x",
                    kind=ArgumentKind.INT,
                    default=60,
                    help="how long the token can be used: 1 to 1440 minutes",
                ),
                option(
                    "--access-expire-in-min",
                    "-p",
                    kind=ArgumentKind.INT,
                    help="when the client's access ends (default: never)",
                ),
                flag("--unlock-ip", "-l", help="do not lock it to the first address that uses it"),
                option(
                    "--count",
                    "-c",
                    kind=ArgumentKind.INT,
                    default=1,
                    help="make so many, named NAME 1, NAME 2 ...: 1 to 500",
                ),
                option(
                    "--config-init",
                    choices=("json", "b64", "k8s"),
                    help="make the keys here and print the configuration",
                ),
                option(
                    "--output",
                    "-o",
                    kind=ArgumentKind.PATH,
                    help="write it to a new file, readable by you alone",
                ),
                flag("--return-tokens", help="print the tokens alone, with commas between"),
                flag("--if-missing", help="do nothing when clients of that name exist"),
            ),
            exclusive=(("config_init", "return_tokens"), ("output", "return_tokens")),
            handler=f"{_MODULE}.clients:add",
        ),
        Command(
            path="secrets-manager client list",
            summary="list the clients and gateways of an application",
            example="secrets-manager client list --app CI",
            arguments=(_APP,),
            listing=True,
            handler=f"{_MODULE}.clients:list_clients",
        ),
        Command(
            path="secrets-manager client confirm",
            summary="confirm that a client that used a one-time token is the right one",
            description=(
                "Until then whoever used the token first is the client, and what it writes is shown\n"
                "as unconfirmed. Compare the fingerprint with what the device says, or give it."
            ),
            example="secrets-manager client confirm --app CI -i build --fingerprint 1a2b-...",
            arguments=(
                _APP,
                option("--client", "-i", required=True, help="name, id or its beginning"),
                option("--fingerprint", help="what the device says"),
                option(
                    "--config-file", kind=ArgumentKind.PATH, help="the device's own configuration"
                ),
                flag("--force", "-f", help="do not ask"),
            ),
            handler=f"{_MODULE}.confirming:confirm",
        ),
        Command(
            path="secrets-manager client fingerprint",
            summary="show the fingerprint of a client's own configuration",
            example="secrets-manager client fingerprint client-config.json",
            arguments=(
                positional("config-file", kind=ArgumentKind.PATH, help="the file the SDK keeps"),
            ),
            needs_login=False,
            handler=f"{_MODULE}.confirming:show_fingerprint",
        ),
        Command(
            path="secrets-manager client remove",
            aliases=(
                "secrets-manager client rem",
                "secrets-manager client rm",
                "secrets-manager client revoke",
            ),
            summary="remove clients of an application",
            example="secrets-manager client remove --app CI -i build -f",
            arguments=(
                _APP,
                option(
                    "--client",
                    "-i",
                    required=True,
                    repeat=True,
                    help="name, id or its beginning (8 characters or more), or * for all",
                ),
            ),
            destructive=True,
            handler=f"{_MODULE}.clients:remove",
        ),
    ]


def _usage_command() -> Command:
    return Command(
        path="secrets-manager usage",
        summary="show which applications and clients are used, and what clients changed",
        description=(
            "Reads are known by their last time only. --detail lists changes out of the audit log,\n"
            "which administrators may read."
        ),
        example="secrets-manager usage CI --by-device --range 30d",
        arguments=(
            positional(
                "name",
                kind=ArgumentKind.APPLICATION,
                required=False,
                help="one application (default: all)",
            ),
            flag("--by-device", help="one row for each client"),
            flag("--detail", help="one row for each change"),
            flag("--summary", help="one row for each application (the default)"),
            option("--range", default="24h", help="the time looked at: 24h, 7d, 30d ..."),
            option(
                "--limit",
                kind=ArgumentKind.INT,
                default=1000,
                help="at most so many changes, the newest",
            ),
        ),
        exclusive=(("by_device", "detail", "summary"),),
        listing=True,
        handler=f"{_MODULE}.usage:usage",
    )


def _share_commands() -> list[Command | Group]:
    return [
        Group(
            "secrets-manager share",
            "give folders to an application",
            aliases=("secrets-manager secret",),
        ),
        Command(
            path="secrets-manager share add",
            aliases=("secrets-manager share update",),
            summary="let an application read (or write) shared folders",
            example="secrets-manager share add --app CI --secret Infrastructure --editable",
            arguments=(
                _APP,
                _SECRET,
                flag("--editable", "-e", help="let it write too"),
                flag("--readonly", "-r", help="let it read only (the default)"),
            ),
            exclusive=(("editable", "readonly"),),
            handler=f"{_MODULE}.shares:add",
        ),
        Command(
            path="secrets-manager share remove",
            aliases=("secrets-manager share rem", "secrets-manager share rm"),
            summary="end an application's access to shared folders",
            example="secrets-manager share remove --app CI --secret Infrastructure -f",
            arguments=(_APP, _SECRET),
            destructive=True,
            handler=f"{_MODULE}.shares:remove",
        ),
    ]
