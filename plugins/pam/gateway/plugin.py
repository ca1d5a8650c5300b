"""Declares `pam gateway`; the work is in the modules the handlers name."""

from __future__ import annotations

from collections.abc import Mapping

from commander.plugin.command import ArgumentKind, Command, Group, flag, option
from commander.plugin.hookspecs import CompletionSource, hookimpl

_MODULE = "plugins.pam.gateway"
_GATEWAY = option(
    "--gateway", "-g", kind=ArgumentKind.GATEWAY, required=True, help="gateway: name or UID"
)
_LISTED = (
    flag("--verbose", "-v", help="more columns"),
    flag("--online", "-o", help="only those that are connected"),
)


@hookimpl
def commander_commands() -> list[Command | Group]:
    """The gateway commands."""
    return [
        Group("pam gateway", "agents inside private networks", aliases=("pam g",)),
        Command(
            path="pam gateway",
            summary="list gateways; also: new, info, remove",
            example="pam gateway",
            description="Lists gateways. Verbs: list, new, info, remove.",
            arguments=_LISTED,
            listing=True,
            handler=f"{_MODULE}.listing:list_all",
        ),
        Command(
            path="pam gateway list",
            aliases=("pam gateway l",),
            summary="list gateways and whether they are connected",
            example="pam gateway list --online --format json",
            arguments=_LISTED,
            listing=True,
            handler=f"{_MODULE}.listing:list_all",
        ),
        _new_command(),
        Command(
            path="pam gateway info",
            aliases=("pam gateway i",),
            summary="show a gateway with its configurations and folders",
            example="pam gateway info -g Berlin",
            arguments=(_GATEWAY,),
            handler=f"{_MODULE}.listing:info",
        ),
        Command(
            path="pam gateway remove",
            aliases=("pam gateway rm",),
            summary="revoke a gateway, or end a join string that waits for one",
            example="pam gateway remove -g Berlin -f",
            arguments=(_GATEWAY,),
            destructive=True,
            handler=f"{_MODULE}.listing:remove",
        ),
    ]


def _new_command() -> Command:
    return Command(
        path="pam gateway new",
        aliases=("pam gateway n",),
        summary="print a join string, or a configuration, for a new gateway",
        description=(
            "The join string is shown once and works once. With -c the keys are made here, the\n"
            "gateway is certified at once, and only its configuration is printed."
        ),
        example="pam gateway new -n Berlin -a Infrastructure --join-file berlin.txt",
        arguments=(
            option("--name", "-n", required=True, help="name of the gateway"),
            option(
                "--application",
                "-a",
                kind=ArgumentKind.APPLICATION,
                required=True,
                help="application whose folders it may read: name or UID",
            ),
            option(
                "--token-expires-in-min",
                "-e",
                kind=ArgumentKind.INT,
                default=60,
                help="how long the join string can be used: 1 to 1440 minutes",
            ),
            option(
                "--config-init",
                "-c",
                choices=("b64", "json"),
                help="make the keys here and print the whole configuration",
            ),
            option(
                "--join-file",
                kind=ArgumentKind.PATH,
                help="write the join string to this new file, 0600",
            ),
            option(
                "--config-file",
                kind=ArgumentKind.PATH,
                help="with -c: write the configuration to this new file, 0600",
            ),
            flag(
                "--if-missing", help="do nothing when the gateway, or a join string for it, exists"
            ),
        ),
        handler=f"{_MODULE}.new:new",
    )


@hookimpl
def commander_completions() -> Mapping[ArgumentKind, CompletionSource | str]:
    """Names of gateways."""
    return {ArgumentKind.GATEWAY: f"{_MODULE}.known:gateway_candidates"}
