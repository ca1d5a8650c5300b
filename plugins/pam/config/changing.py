"""`pam config new`, `edit` and `remove`."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from commander.errors import Conflict, InvalidInput, UsageError
from commander.plugin.command import Arguments
from commander.plugin.context import Context
from commander.plugin.results import Done, Plain, Result, Unchanged
from commander.vault.replica import OpenFolder
from commander.vault.session import Vault
from commander.wire.pam import ConfigurationSettings, PamSettings
from commander.wire.records import RecordData
from plugins.pam.config.known import (
    RECORD_TYPE,
    Configuration,
    configurations,
    find_configuration,
    resources_of,
)
from plugins.pam.config.values import check_environment, check_title, settings_given
from plugins.pam.gateway.known import ListedGateway, find_enrolled

Given = Mapping[str, str | tuple[str, ...]]


async def new(context: Context, arguments: Arguments) -> Result:
    """Put a configuration into a shared folder that its gateway can read."""
    vault, title = context.vault, check_title(arguments.text("title"))
    check_environment(arguments.text("environment"))
    given = settings_given(arguments)
    await vault.refresh()
    folder = _shared_folder(context, arguments.text("shared_folder"))
    gateway = await find_enrolled(context, arguments.text("gateway"))
    wanted: Given = {"gateway": gateway.uid, "environment": "local", **given}
    same = [found for found in configurations(vault) if found.title == title]
    if same:
        return _existing(vault, same, folder, wanted, if_missing=arguments.flag("if_missing"))
    record = await vault.create_record(
        RecordData.create(RECORD_TYPE, title), folder.uid, settings=_settings(wanted)
    )
    context.variables.set("last_record_uid", record.uid)
    _warn_unread(context, gateway, folder)
    return Done(
        f"PAM configuration {title!r} was made (UID: {record.uid}).",
        {"uid": record.uid, "config_name": title, "gateway_uid": gateway.uid},
    )


def _settings(wanted: Given) -> ConfigurationSettings:
    return msgspec.convert(dict(wanted), ConfigurationSettings)


def _shared_folder(context: Context, text: str) -> OpenFolder:
    vault = context.vault
    folder = vault.find_folder(text, base=context.location.folder)
    if folder.domain == vault.view.root:
        raise InvalidInput(
            f"folder {folder.name!r} is not shared, so no gateway could read it",
            hint="make a shared folder: mkdir -sf NAME",
        )
    return folder


def _warn_unread(context: Context, gateway: ListedGateway, folder: OpenFolder) -> None:
    """Without this share the gateway refuses every tunnel, so it is said before one is tried."""
    if context.vault.state.accesses.get((folder.domain, gateway.application)) is None:
        context.console.notice(
            f"gateway {gateway.label!r} cannot read folder {folder.name!r} yet: secrets-manager "
            f"share add --app {gateway.application_title or gateway.application!r} "
            f"--secret {folder.name!r}"
        )


def _existing(
    vault: Vault,
    same: list[Configuration],
    folder: OpenFolder,
    wanted: Given,
    *,
    if_missing: bool,
) -> Unchanged:
    known = same[0]
    if not if_missing:
        raise Conflict(
            f"a PAM configuration {known.title!r} exists already",
            hint="choose another title, or --if-missing, or pam config edit",
        )
    if len(same) > 1:
        raise Conflict(f"there are {len(same)} PAM configurations {known.title!r}")
    different = differences(known, vault.view.place_of(folder.uid).folder, wanted)
    if different:
        raise Conflict(
            f"PAM configuration {known.title!r} exists with {', '.join(different)}",
            hint=f"pam config edit {known.title!r} changes it",
        )
    return Unchanged(
        f"PAM configuration {known.title!r} exists already.",
        {
            "uid": known.record.uid,
            "config_name": known.title,
            "gateway_uid": known.settings.gateway,
        },
    )


def differences(known: Configuration, folder: str, wanted: Given) -> list[str]:
    """
    What of that which was asked for is otherwise; what nobody asked for does not count.

    So a file that makes a configuration and then edits it changes nothing when it runs again.
    """
    found = [
        f"{name} {_shown(getattr(known.settings, name))} instead of {_shown(value)}"
        for name, value in wanted.items()
        if getattr(known.settings, name) != value
    ]
    if (known.record.inner_folder or known.record.domain) != folder:
        found.append("another folder")
    return found


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else repr(value)


async def edit(context: Context, arguments: Arguments) -> Result:
    """Change what was named, leave the rest."""
    vault = context.vault
    given = dict(settings_given(arguments))
    title = arguments.text_or_none("title")
    if title is not None:
        check_title(title)
    await vault.refresh()
    known = find_configuration(context, arguments.text("configuration"))
    gateway = arguments.text_or_none("gateway")
    if gateway is not None:
        given["gateway"] = (await find_enrolled(context, gateway)).uid
    if not given and title is None:
        raise UsageError("name what to change", hint='for example "pam config edit X -u on"')

    def change(before: PamSettings | None) -> PamSettings:
        if not isinstance(before, ConfigurationSettings):
            raise Conflict(f"{known.title!r} is no PAM configuration any more")
        return msgspec.structs.replace(before, **given)

    changed = await vault.change_settings(known.record.uid, change)
    if title is not None and title != known.title:
        changed = await _rename(vault, known, title) or changed
    data: dict[str, Plain] = {"uid": known.record.uid, "config_name": title or known.title}
    if not changed:
        return Unchanged(f"PAM configuration {known.title!r} is as asked already.", data)
    return Done(f"PAM configuration {known.title!r} was changed.", data)


async def _rename(vault: Vault, known: Configuration, title: str) -> bool:
    if any(found.title == title for found in configurations(vault)):
        raise Conflict(f"a PAM configuration {title!r} exists already")

    def rename(data: RecordData) -> None:
        data.content["title"] = title

    return await vault.update_record(known.record.uid, rename)


async def remove(context: Context, arguments: Arguments) -> Result:
    """Remove a configuration; resources that name it can have no tunnels until they name another."""
    vault = context.vault
    await vault.refresh()
    known = find_configuration(context, arguments.text("configuration"))
    resources = resources_of(vault).get(known.record.uid, [])
    used = f" {len(resources)} resources use it." if resources else ""
    await context.console.confirm(
        f"Remove PAM configuration {known.title!r}?{used}", force=arguments.flag("force")
    )
    await vault.delete_record(known.record.uid)
    if resources:
        names = ", ".join(repr(record.data.title) for record in resources[:10])
        context.console.notice(f"these resources have no configuration now: {names}")
    return Done(f"PAM configuration {known.title!r} was removed.", {"uid": known.record.uid})
