"""PAM configurations in the vault: records with configuration settings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from commander.errors import Conflict, NotFound, UsageError
from commander.plugin.context import Context
from commander.vault.replica import OpenRecord
from commander.vault.session import Vault
from commander.wire.pam import ConfigurationSettings, ResourceSettings

RECORD_TYPE = "pamNetworkConfiguration"
# Completion must stay quick.
MOST_CANDIDATES = 500


@dataclass(frozen=True)
class Configuration:
    """A configuration record and its settings."""

    record: OpenRecord
    settings: ConfigurationSettings

    @property
    def title(self) -> str:
        """Its record's title."""
        return self.record.data.title


def configurations(vault: Vault) -> list[Configuration]:
    """All that this user can see, by title."""
    found = []
    for record in vault.view.records_of_type(RECORD_TYPE):
        settings = vault.settings(record.uid)
        if isinstance(settings, ConfigurationSettings):
            found.append(Configuration(record, settings))
    return found


def of_gateway(vault: Vault, gateway: str) -> list[Configuration]:
    """The configurations that are bound to a gateway."""
    return [found for found in configurations(vault) if found.settings.gateway == gateway]


def find_configuration(context: Context, text: str) -> Configuration:
    """One by UID, title or path. Raises NotFound, Conflict listing the candidates, UsageError."""
    vault = context.vault
    named = [found for found in configurations(vault) if text in (found.title, found.record.uid)]
    if len(named) == 1:
        return named[0]
    if named:
        paths = ", ".join(
            f"{vault.view.record_path(found.record)} ({found.record.uid})" for found in named[:10]
        )
        raise Conflict(
            f"{text[:80]!r} names {len(named)} configurations: {paths}", hint="use the UID"
        )
    try:
        record = vault.find_record(text, base=context.location.folder)
    except NotFound as error:
        raise NotFound(
            f"no PAM configuration {text[:80]!r}", hint="pam config list shows them"
        ) from error
    settings = vault.settings(record.uid)
    if not isinstance(settings, ConfigurationSettings):
        raise UsageError(
            f"{record.data.title!r} is not a PAM configuration", hint="pam config list shows them"
        )
    return Configuration(record, settings)


def resources_of(vault: Vault) -> dict[str, list[OpenRecord]]:
    """Resources by the configuration that their settings name, each list by title."""
    found: dict[str, list[OpenRecord]] = {}
    for record in sorted(vault.view.records.values(), key=lambda r: r.data.title.casefold()):
        if not record.data.type.startswith("pam") or record.data.type == RECORD_TYPE:
            continue
        settings = vault.settings(record.uid)
        if isinstance(settings, ResourceSettings) and settings.configuration:
            found.setdefault(settings.configuration, []).append(record)
    return found


def configuration_candidates(context: Context) -> Iterable[str]:
    """Titles for completion, from memory."""
    if not context.is_logged_in:
        return ()
    records = context.vault.view.records_of_type(RECORD_TYPE)
    return [record.data.title for record in records[:MOST_CANDIDATES]]
