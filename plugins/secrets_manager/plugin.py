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
                flag("--unlock-ip", "-l", help="do not bind it to its first address"),
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
                flag("--if-missing", help="do nothing when clients of that name exist"),
            ),
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
            path="secrets-manager client remove",
            aliases=("secrets-manager client rem", "secrets-manager client rm"),
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
            arguments=(_APP, _SECRET, flag("--editable", "-e", help="let it write too")),
            handler=f"{_MODULE}.shares:add",
        ),
        Command(
            path="secrets-manager share remove",
            aliases=("secrets-manager share rem", "secrets-manager share rm"),
            summary="end an application's access to shared folders",
            example="secrets-manager share remove --app CI --secret Infrastructure",
            arguments=(_APP, _SECRET),
            handler=f"{_MODULE}.shares:remove",
        ),
    ]
