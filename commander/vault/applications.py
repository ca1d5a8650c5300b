"""Secrets Manager applications: their keys, shares, clients and gateway tokens."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from commander.authority.decide import Action
from commander.authority.statements import (
    Access,
    Application,
    Gateway,
    Kind,
    Revoke,
    Right,
    Voucher,
    client_uid,
)
from commander.authority.statements import (
    Client as ClientStatement,
)
from commander.crypto import aead
from commander.errors import InvalidInput, NotFound, SealBroken
from commander.ids import ApplicationUid, FolderUid, GatewayUid, VoucherUid, new_uid
from commander.ksm.owner import owner_key
from commander.ksm.token import OneTimeToken
from commander.vault import application_users, folders
from commander.vault.draft import Draft
from commander.vault.replica import OpenApplication
from commander.wire import calls

if TYPE_CHECKING:
    from commander.vault.session import Vault

MAX_TITLE = 128
DEFAULT_TOKEN_MINUTES = 60
MAX_TOKEN_MINUTES = 1440
SHARE_RIGHTS = (Right.VIEW,)


# Each is a statement, of which a commit has at most so many.
_REMOVED_AT_ONCE = 500


@dataclass(frozen=True)
class NewToken:
    """A one-time token, shown once and never stored; `voucher` is empty for plain clients."""

    token: OneTimeToken = field(repr=False)
    client_id: str
    voucher: str
    expires: int


@dataclass(frozen=True)
class BoundClient:
    """A client whose P-256 key (65-byte point) was made here; a gateway brings its certificate."""

    name: str
    client_id: str
    public_key: bytes
    gateway: Gateway | None = None


@dataclass(frozen=True)
class Client:
    """A client of an application, its name decrypted."""

    name: str
    row: calls.ClientRow


@dataclass(frozen=True)
class KnownGateway:
    """A gateway that the authority log certifies; `online` as the server says."""

    uid: GatewayUid
    name: str
    application: OpenApplication
    client_id: str
    statement: Gateway
    row: calls.GatewayRow | None


def text_client_id(token: OneTimeToken) -> str:
    """The client id as it travels and stands in the log: standard base64, 88 characters."""
    return base64.b64encode(token.client_id).decode()


class Applications:
    """Reached as `vault.applications`."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def all(self) -> list[OpenApplication]:
        """Applications this user can open, by title."""
        return self._vault.view.applications()

    def find(self, text: str) -> OpenApplication:
        """One by UID or title. Raises NotFound, Conflict."""
        return self._vault.view.find_application(text)

    async def create(self, title: str) -> OpenApplication:
        """Make an application with a key of its own."""
        vault = self._vault
        uid = ApplicationUid(new_uid())
        _check_title(title)

        def build(draft: Draft) -> None:
            vault.require(Action.CREATE_APPLICATION)
            draft.state(Application(uid, vault.user))
            key = draft.add_key("application", uid)
            public = owner_key(key).public.raw
            draft.applications.append(calls.NewApplication(uid, 1, _display(key, title), public))

        await vault.commit(build)
        return self.find(uid)

    async def rename(self, uid: str, title: str) -> bool:
        """Give an application another title. Returns False when it has that one."""
        _check_title(title)

        def build(draft: Draft) -> bool:
            self._vault.require(Action.MANAGE_APPLICATION, uid)
            if self.find(uid).title == title:
                return False
            _put_display(draft, uid, title)
            return True

        return await self._vault.commit(build)

    async def remove(self, uid: str) -> None:
        """End an application, and with it its clients and gateways."""
        await self._vault.commit(lambda d: d.state(Revoke(Kind.APPLICATION, uid, "")))

    async def share_folder(
        self, uid: str, folder: str, rights: tuple[Right, ...] = SHARE_RIGHTS
    ) -> bool:
        """Let an application read a shared folder. Returns False when it is so already."""
        vault = self._vault

        def build(draft: Draft) -> bool:
            found = vault.view.folders.get(folder)
            if found is None:
                raise NotFound(f"no folder {folder}")
            if not found.is_domain or found.uid == vault.view.root:
                raise InvalidInput(
                    f"{found.name!r} is not a shared folder", hint="applications get shared folders"
                )
            vault.require(Action.MANAGE_APPLICATION, uid)
            access = Access(FolderUid(folder), "application", uid, rights, 0, 0)
            if vault.state.accesses.get((folder, uid)) == access:
                return False
            draft.state(access)
            key = aead.seal(draft.key_of("application", uid), draft.key_of("folder", folder))
            draft.folder_keys.append(calls.ApplicationFolderKey(uid, folder, 1, key))
            for below in folders.descend(vault.view, folder):
                draft.copy_folder(below.uid, below.domain, below.name, below.parent)
            application_users.open_folder(vault, draft, uid, folder)
            return True

        return await vault.commit(build)

    async def unshare_folder(self, uid: str, folder: str) -> bool:
        """End an application's access to a folder. Returns False when there was none."""
        return await self._vault.sharing.unshare(folder, uid)

    def folders_of(self, uid: str) -> list[str]:
        """UIDs of the folders an application may use."""
        return [access.folder for access in self._vault.state.folders_of(uid)]

    async def add_gateway(
        self, uid: str, name: str, *, minutes: int = DEFAULT_TOKEN_MINUTES, ip_lock: bool = False
    ) -> NewToken:
        """Make a one-time token with which one gateway enrols itself; write it into a join string."""
        vault = self._vault
        _check_title(name)
        token = OneTimeToken.generate()
        voucher = VoucherUid(new_uid())

        def build(draft: Draft) -> int:
            vault.require(Action.MANAGE_GATEWAY, uid)
            expires = draft.time + 60 * _checked_minutes(minutes)
            public = token.voucher_key.public.raw
            draft.state(Voucher(voucher, "gateway", "", uid, public, expires, ip_lock))
            draft.clients.append(
                _new_client(draft, uid, token, name, "gateway", voucher, expires, 0, ip_lock)
            )
            return expires

        expires = await vault.commit(build)
        return NewToken(token, text_client_id(token), voucher, expires)

    async def add_client(
        self,
        uid: str,
        name: str,
        *,
        minutes: int = DEFAULT_TOKEN_MINUTES,
        access_minutes: int = 0,
        ip_lock: bool = True,
    ) -> NewToken:
        """Make one token: see `add_clients`."""
        (token,) = await self.add_clients(
            uid, (name,), minutes=minutes, access_minutes=access_minutes, ip_lock=ip_lock
        )
        return token

    async def add_clients(
        self,
        uid: str,
        names: Sequence[str],
        *,
        minutes: int = DEFAULT_TOKEN_MINUTES,
        access_minutes: int = 0,
        ip_lock: bool = True,
    ) -> list[NewToken]:
        """
        Make one-time tokens for Secrets Manager devices, all or none, one for each name.

        `access_minutes` 0: without end.
        """
        vault = self._vault
        for name in names:
            _check_title(name)
        tokens = [OneTimeToken.generate() for _ in names]

        def build(draft: Draft) -> int:
            vault.require(Action.MANAGE_APPLICATION, uid)
            expires = draft.time + 60 * _checked_minutes(minutes)
            ends = draft.time + 60 * access_minutes if access_minutes else 0
            _complete(draft, uid)
            for token, name in zip(tokens, names, strict=True):
                # The log names the client before it has a key, so that the server can't make one up.
                draft.state(_client(uid, text_client_id(token), b""))
                draft.clients.append(
                    _new_client(draft, uid, token, name, "client", "", expires, ends, ip_lock)
                )
            return expires

        expires = await vault.commit(build)
        return [NewToken(token, text_client_id(token), "", expires) for token in tokens]

    async def add_bound_clients(
        self,
        uid: str,
        clients: Sequence[BoundClient],
        *,
        access_minutes: int = 0,
        ip_lock: bool = False,
    ) -> None:
        """
        Enter clients whose keys were made here (`--config-init`), all or none.

        With `ip_lock` each is served at the first address that uses it only.

        A gateway comes with its certificate.
        """
        vault = self._vault
        for client in clients:
            _check_title(client.name)

        def build(draft: Draft) -> None:
            ends = draft.time + 60 * access_minutes if access_minutes else 0
            _complete(draft, uid)
            for client in clients:
                gateway = client.gateway
                vault.require(Action.MANAGE_GATEWAY if gateway else Action.MANAGE_APPLICATION, uid)
                draft.state(gateway or _client(uid, client.client_id, client.public_key))
                draft.clients.append(_bound_client(draft, uid, client, ends, ip_lock=ip_lock))

        await vault.commit(build)

    async def confirm_client(self, uid: str, client_id: str, public_key: bytes) -> None:
        """
        Sign into the log that a client has this key; the caller has compared fingerprints.

        What it wrote before with another key is refused from then on, by everybody. Raises Refused
        for a client whose key the log names already.
        """
        vault = self._vault

        def build(draft: Draft) -> None:
            vault.require(Action.MANAGE_APPLICATION, uid)
            draft.state(_client(uid, client_id, public_key))

        await vault.commit(build)

    async def remove_client(self, client_id: str) -> None:
        """Remove a client by its id; a gateway's certificate is revoked with it."""
        await self.remove_clients({client_id: ""})

    async def remove_clients(self, vouchers: Mapping[str, str]) -> None:
        """
        Remove clients named by their ids, each with its voucher or ""; each 500 of them all or none.

        With a gateway its certificate is revoked, or the voucher of a token that nobody used.
        """
        named = list(vouchers.items())
        for start in range(0, len(named), _REMOVED_AT_ONCE):
            await self._remove_some(named[start : start + _REMOVED_AT_ONCE])

    async def _remove_some(self, vouchers: Sequence[tuple[str, str]]) -> None:
        vault = self._vault

        def build(draft: Draft) -> None:
            state = vault.state
            certified = {gateway.client_id: gateway.gateway for gateway in state.gateways.values()}
            for client_id, voucher in vouchers:
                if client_id in certified:
                    draft.state(Revoke(Kind.GATEWAY, certified[client_id], ""))
                elif state.clients.get(client_uid(client_id)):
                    draft.state(Revoke(Kind.CLIENT, client_uid(client_id), ""))
                elif state.vouchers.get(voucher) and voucher not in state.used_vouchers:
                    draft.state(Revoke(Kind.VOUCHER, voucher, ""))
                draft.removed_clients.append(client_id)

        await vault.commit(build)

    async def revoke_gateway(self, gateway: str) -> None:
        """End a gateway's certificate, as an administrator may whose application it is not."""
        await self._vault.commit(lambda d: d.state(Revoke(Kind.GATEWAY, gateway, "")))

    async def clients(self, uid: str) -> list[Client]:
        """Clients of an application as the server knows them, by name."""
        key = self._vault.application_key(uid)
        answer = await self._vault.remote.call(calls.CLIENTS, calls.ClientsRequest(uid))
        found = [Client(_open_name(key, row.name), row) for row in answer.clients]
        return sorted(found, key=lambda client: client.name.casefold())

    def uid_of_client(self, client_id: str) -> str:
        """The UID by which log, seals and audit know a client."""
        return client_uid(client_id)

    def key_state(self, client_id: str) -> tuple[bytes, bytes]:
        """
        The keys of a client that are known here: the one the log names, the one seen first.

        Each is empty when there is none.
        """
        client = client_uid(client_id)
        stated = self._vault.state.clients.get(client)
        return (stated.ksm_key if stated else b""), self._vault.first_key_of(client)

    async def gateways(self) -> list[KnownGateway]:
        """Certified gateways of this user's applications, with what the server says of them."""
        vault = self._vault
        answer = await vault.remote.call(calls.GATEWAYS, calls.Empty())
        rows = {row.gateway: row for row in answer.gateways}
        certified = list(vault.state.gateways.values())
        used = {gateway.application for gateway in certified}
        found: list[KnownGateway] = []
        for application in self.all():
            if application.uid not in used:
                continue
            names = {c.row.client_id: c.name for c in await self.clients(application.uid)}
            found += [
                KnownGateway(
                    GatewayUid(gateway.gateway), names.get(gateway.client_id, ""), application,
                    gateway.client_id, gateway, rows.get(gateway.gateway),
                )
                for gateway in certified
                if gateway.application == application.uid
            ]  # fmt: skip
        return found


def _put_display(draft: Draft, uid: str, title: str) -> None:
    key = draft.key_of("application", uid)
    before = draft.replica.application_rows[uid].revision
    public = owner_key(key).public.raw
    draft.applications.append(calls.NewApplication(uid, before + 1, _display(key, title), public))


def _complete(draft: Draft, uid: str) -> None:
    """Give the server the owner's public key of an application made before there was one."""
    row = draft.replica.application_rows.get(uid)
    application = draft.replica.applications.get(uid)
    if row is None or application is None:
        return
    if row.owner_key != owner_key(application.key).public.raw:
        _put_display(draft, uid, application.title)


def _client(uid: str, client_id: str, public_key: bytes) -> ClientStatement:
    return ClientStatement(client_uid(client_id), ApplicationUid(uid), client_id, public_key)


def _display(key: bytes, title: str) -> bytes:
    return aead.seal(key, json.dumps({"title": title, "type": "app"}).encode())


def _new_client(
    draft: Draft,
    uid: str,
    token: OneTimeToken,
    name: str,
    kind: Literal["client", "gateway"],
    voucher: str,
    token_expires: int,
    access_expires: int,
    ip_lock: bool,
) -> calls.NewClient:
    key = draft.key_of("application", uid)
    return calls.NewClient(
        client_id=text_client_id(token),
        application=uid,
        kind=kind,
        voucher=voucher,
        name=aead.seal(key, name.encode()),
        app_key=token.seal_app_key(key),
        public_key=b"",
        token_expires=token_expires,
        access_expires=access_expires,
        ip_lock=ip_lock,
    )


def _bound_client(
    draft: Draft, uid: str, client: BoundClient, ends: int, *, ip_lock: bool
) -> calls.NewClient:
    return calls.NewClient(
        client_id=client.client_id,
        application=uid,
        kind="gateway" if client.gateway else "client",
        voucher="",
        name=aead.seal(draft.key_of("application", uid), client.name.encode()),
        app_key=b"",
        public_key=client.public_key,
        token_expires=0,
        access_expires=ends,
        ip_lock=ip_lock,
    )


def _open_name(key: bytes, sealed: bytes) -> str:
    try:
        return aead.open_sealed(key, sealed).decode()
    except (SealBroken, UnicodeError):
        return "(name does not open)"


def _check_title(title: str) -> None:
    if not 0 < len(title) <= MAX_TITLE or not title.isprintable() or title != title.strip():
        raise InvalidInput(f"a name has 1 to {MAX_TITLE} printable characters")


def _checked_minutes(minutes: int) -> int:
    if not 0 < minutes <= MAX_TOKEN_MINUTES:
        raise InvalidInput(
            f"a token lives 1 to {MAX_TOKEN_MINUTES} minutes, not {minutes}", hint="60 is usual"
        )
    return minutes
