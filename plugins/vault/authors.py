"""Who wrote a revision: a person, or a Secrets Manager client, by names where they may be known."""

from __future__ import annotations

from collections.abc import Iterable

from commander.errors import CommanderError
from commander.vault.replica import OpenRecord
from commander.vault.session import Vault


async def author_names(vault: Vault, records: Iterable[OpenRecord]) -> dict[str, str]:
    """
    A text for the author of each record, by UID.

    Names of clients are under their application's key: without it, or without the server, their UID is shown.
    """
    authors = {record.author for record in records}
    found: dict[str, str] = {}
    clients = set()
    for author in authors:
        device = vault.state.devices.latest(author)
        if device is not None:
            found[author] = vault.people.email_of(device.user)
        elif vault.state.clients.latest(author) is not None:
            clients.add(author)
        else:
            found[author] = author
    names = await _client_names(vault, clients)
    for client in clients:
        found[client] = _client_text(vault, client, names.get(client, client))
    return found


async def _client_names(vault: Vault, clients: Iterable[str]) -> dict[str, str]:
    applications = {
        stated.application
        for client in clients
        if (stated := vault.state.clients.latest(client)) is not None
    }
    names: dict[str, str] = {}
    for application in applications:
        try:
            rows = await vault.applications.clients(application)
        except CommanderError:
            continue
        names |= {vault.applications.uid_of_client(c.row.client_id): c.name for c in rows}
    return names


def _client_text(vault: Vault, client: str, name: str) -> str:
    stated = vault.state.clients.latest(client)
    assert stated is not None, "the caller looked"
    titles = {app.uid: app.title for app in vault.applications.all()}
    title = titles.get(stated.application, stated.application)
    mark = "" if stated.ksm_key else " (unconfirmed)"
    return f"client {name} of application {title}{mark}"
