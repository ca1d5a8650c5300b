"""Declares `pam config`; the work is in the modules the handlers name."""

from __future__ import annotations

from collections.abc import Mapping

from commander.plugin.command import (
    Argument,
    ArgumentKind,
    Command,
    Group,
    flag,
    option,
    positional,
)
from commander.plugin.hookspecs import CompletionSource, hookimpl

_MODULE = "plugins.pam.config"
_ENVIRONMENTS = ("local", "aws", "azure", "gcp", "domain", "oci", "github", "hashicorp")
_CONFIGURATION = positional(
    "configuration", kind=ArgumentKind.CONFIGURATION, help="configuration: title or UID"
)


def _switch(*names: str, help: str) -> Argument:
    return option(*names, choices=("on", "off", "default"), help=help)


_SETTINGS = (
    option("--network-id", help="a name of the network"),
    option("--network-cidr", help="the network, such as 10.0.0.0/8"),
    option("--port-mapping", "-pm", repeat=True, metavar="PORT=PROTOCOL", help="such as 2222=ssh"),
    _switch("--connections", "-c", help="sessions in the browser"),
    _switch("--tunneling", "-u", help="tunnels"),
    _switch("--rotation", "-r", help="rotation of credentials"),
    _switch("--remote-browser-isolation", "-rbi", help="isolated browsers"),
    _switch("--graphical-recording", "--connections-recording", "-cr", help="record what is shown"),
    _switch("--text-recording", "--typescript-recording", "-tr", help="record typed text"),
    option(
        "--paths",
        metavar="KINDS",
        help="kinds of path for tunnels: direct,relay,webrtc,turn, or all; direct and webrtc show addresses",
    ),
    option("--schedule", "-sc", metavar="CRON", help="rotation schedule, UTC: '0 3 * * SUN'"),
)
_LISTED = (
    option("--config", "-c", kind=ArgumentKind.CONFIGURATION, help="only this one, in full"),
    flag("--verbose", "-v", help="more columns"),
)


@hookimpl
def commander_commands() -> list[Command | Group]:
    """The configuration commands."""
    return [
        Group("pam config", "switches and gateway of a network", aliases=("pam c",)),
        Command(
            path="pam config",
            summary="list PAM configurations; also: new, edit, remove",
            example="pam config",
            description="Lists PAM configurations. Verbs: list, new, edit, remove.",
            arguments=_LISTED,
            listing=True,
            handler=f"{_MODULE}.listing:list_all",
        ),
        Command(
            path="pam config list",
            aliases=("pam config l",),
            summary="list PAM configurations",
            example="pam config list -v",
            arguments=_LISTED,
            listing=True,
            handler=f"{_MODULE}.listing:list_all",
        ),
        _new_command(),
        Command(
            path="pam config edit",
            aliases=("pam config e",),
            summary="change a PAM configuration",
            description='What is not named stays as it is; an empty value ("") empties a setting.',
            example='pam config edit "Local network" --tunneling on',
            arguments=(
                _CONFIGURATION,
                option("--title", "-t", help="another title"),
                option("--gateway", "-g", kind=ArgumentKind.GATEWAY, help="name or UID"),
                *_SETTINGS,
            ),
            handler=f"{_MODULE}.changing:edit",
        ),
        Command(
            path="pam config remove",
            aliases=("pam config rm",),
            summary="remove a PAM configuration",
            example='pam config remove "Local network" -f',
            arguments=(_CONFIGURATION,),
            destructive=True,
            handler=f"{_MODULE}.changing:remove",
        ),
    ]


def _new_command() -> Command:
    return Command(
        path="pam config new",
        aliases=("pam config n",),
        summary="bind a gateway to a network and switch features on or off",
        example=(
            'pam config new -t "Local network" -env local -g Berlin -sf Infrastructure '
            "--tunneling on --if-missing"
        ),
        arguments=(
            option("--title", "-t", required=True, help="1 to 128 characters"),
            option("--environment", "-env", choices=_ENVIRONMENTS, default="local", help="kind of network"),
            option("--gateway", "-g", kind=ArgumentKind.GATEWAY, required=True, help="name or UID"),
            option(
                "--shared-folder",
                "-sf",
                kind=ArgumentKind.FOLDER,
                required=True,
                help="shared folder (or one within) that the gateway's application can read",
            ),
            *_SETTINGS,
            flag("--if-missing", help="do nothing when it is there as asked"),
        ),
        handler=f"{_MODULE}.changing:new",
    )  # fmt: skip


@hookimpl
def commander_completions() -> Mapping[ArgumentKind, CompletionSource | str]:
    """Titles of configurations."""
    return {ArgumentKind.CONFIGURATION: f"{_MODULE}.known:configuration_candidates"}
