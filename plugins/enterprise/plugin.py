"""Declares the enterprise commands; the work is in the modules the handlers name."""

from __future__ import annotations

from collections.abc import Mapping

from commander.plugin.command import ArgumentKind, Command, Group, flag, option, positional
from commander.plugin.hookspecs import CompletionSource, hookimpl

_MODULE = "plugins.enterprise"


@hookimpl
def commander_commands() -> list[Command | Group]:
    """Roles, users, and what the enterprise has."""
    return [_role_command(), _user_command(), _info_command()]


def _role_command() -> Command:
    user = ArgumentKind.USER
    return Command(
        path="enterprise-role",
        aliases=("er",),
        summary="show roles, or change their policies, name and members",
        description=(
            "Without a flag it shows. Several kinds of change in one call all happen or none.\n"
            "A key that no role of a user grants is refused everywhere; false takes a key away."
        ),
        example='enterprise-role Developers --add --enforcement "ALLOW_LAUNCH_PAM_TUNNELS":true -au bob@example.org',
        arguments=(
            positional("name", kind=ArgumentKind.ROLE, required=False, repeat=True, help="roles: name or UID"),
            flag("--add", help="make these roles"),
            flag("--copy", help="make --name NEW with the policies of this role"),
            flag("--delete", help="end these roles"),
            option("--rename", "--name", help="another name for the role, or the copy's name"),
            option(
                "--enforcement", kind=ArgumentKind.ENFORCEMENT, repeat=True, metavar="KEY:VALUE",
                help="policy to grant (true) or to take away (false)",
            ),
            option("--add-user", "-au", kind=user, repeat=True, help="give a user the role"),
            option("--remove-user", "-ru", kind=user, repeat=True, help="take it away"),
            flag("--if-missing", help="with --add or --copy: do nothing when it is there as asked"),
            flag("--force", "-f", help="do not ask"),
        ),
        exclusive=(("add", "copy", "delete"),),
        listing=True,
        handler=f"{_MODULE}.roles:enterprise_role",
    )  # fmt: skip


def _user_command() -> Command:
    role = ArgumentKind.ROLE
    return Command(
        path="enterprise-user",
        aliases=("eu",),
        summary="show users, change their roles, or end their accounts",
        description="Without a flag it shows. People are invited by `account invite`.",
        example="enterprise-user bob@example.org --add-role Developers",
        arguments=(
            positional("user", kind=ArgumentKind.USER, required=False, repeat=True, help="users: e-mail or UID"),
            flag("--delete", help="end these accounts; their devices are refused at once"),
            option("--add-role", kind=role, repeat=True, help="give them a role"),
            option("--remove-role", kind=role, repeat=True, help="take a role away"),
            flag("--force", "-f", help="do not ask"),
        ),
        listing=True,
        handler=f"{_MODULE}.users:enterprise_user",
    )  # fmt: skip


def _info_command() -> Command:
    return Command(
        path="enterprise-info",
        aliases=("ei",),
        summary="list users, roles, devices, applications or gateways",
        example="enterprise-info --users --format json",
        arguments=(
            positional("pattern", required=False, help="only rows with this text"),
            flag("--users", "-u", help="users with their roles"),
            flag("--roles", "-r", help="roles with members and policies"),
            flag("--devices", "-d", help="devices of all users"),
            flag("--applications", "-a", help="applications and their owners"),
            flag("--gateways", "-g", help="gateways and whether they are connected"),
        ),
        exclusive=(("users", "roles", "devices", "applications", "gateways"),),
        listing=True,
        handler=f"{_MODULE}.info:enterprise_info",
    )


@hookimpl
def commander_completions() -> Mapping[ArgumentKind, CompletionSource | str]:
    """Enforcement keys."""
    return {ArgumentKind.ENFORCEMENT: f"{_MODULE}.roles:enforcement_candidates"}
