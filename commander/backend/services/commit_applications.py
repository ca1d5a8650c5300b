"""Applications, their folder keys and their clients, of a commit."""

from __future__ import annotations

from commander.authority.decide import Action
from commander.authority.refusals import Code
from commander.backend.limits import APPLICATION_DATA, CLIENT_NAME, TOKEN_LIFE_S, WRAPPED_KEY
from commander.backend.services.draft import Draft, need_once, need_size
from commander.backend.storage import applications, clients
from commander.errors import InvalidInput, Refused
from commander.ksm import base64_text
from commander.ksm.keys import P256PublicKey
from commander.ksm.token import CLIENT_ID_BYTES
from commander.wire.calls import ApplicationFolderKey, NewApplication, NewClient

_LAST_TIME = 2**53
_MOST_EPOCHS = 2**31


async def put_applications(draft: Draft, added: tuple[NewApplication, ...]) -> None:
    """Check and store display data of applications. Raises Refused."""
    need_once([new.application for new in added], "an application")
    for new in added:
        draft.need(Action.MANAGE_APPLICATION, new.application)
        need_size(new.data, APPLICATION_DATA, "an application's data", least=1)
        stored = await applications.find(draft.connection, new.application)
        known = stored.revision if stored else 0
        if new.revision != known + 1:
            raise Refused(
                f"application {new.application} is at revision {known}",
                code=Code.REVISION_CONFLICT,
                hint="sync and try again",
            )
        _check_owner_key(new.owner_key)
        await applications.put(draft.connection, new)


def _check_owner_key(point: bytes) -> None:
    try:
        if point:
            P256PublicKey(point)
    except InvalidInput as error:
        raise Refused(error.message, code=Code.REQUEST_MALFORMED) from None


async def put_keys(draft: Draft, added: tuple[ApplicationFolderKey, ...]) -> None:
    """Check and store folder keys for applications. Raises Refused."""
    for key in added:
        draft.need(Action.MANAGE_APPLICATION, key.application)
        draft.need(Action.SHARE, key.folder)
        need_size(key.key, WRAPPED_KEY, "a folder key", least=WRAPPED_KEY)
        if not 0 <= key.epoch < _MOST_EPOCHS:
            raise Refused("a folder key is malformed", code=Code.REQUEST_MALFORMED)
        if draft.state.accesses.get((key.folder, key.application)) is None:
            raise Refused(
                f"folder {key.folder} is not shared with {key.application}",
                code=Code.ACCESS_MISSING,
            )
        await applications.put_key(draft.connection, key)


async def remove_clients(draft: Draft, removed: tuple[str, ...]) -> None:
    """Forget clients of the caller's applications. Raises Refused."""
    for client_id in removed:
        stored = await clients.find(draft.connection, client_id[:88])
        if stored is None:
            raise Refused("a client is not known", code=Code.OBJECT_UNKNOWN)
        draft.need(_action_for(stored.kind), stored.application)
        await clients.remove(draft.connection, stored.client_id)


async def add_clients(draft: Draft, added: tuple[NewClient, ...]) -> None:
    """Check and store new clients. Raises Refused."""
    need_once([new.client_id for new in added], "a client")
    for new in added:
        draft.need(_action_for(new.kind), new.application)
        _check_form(new)
        _check_times(new, draft.now)
        if new.kind == "gateway":
            _check_gateway(draft, new)
        elif new.voucher:
            raise Refused("only gateways have vouchers", code=Code.REQUEST_MALFORMED)
        if await clients.find(draft.connection, new.client_id) is not None:
            raise Refused("a client of this id exists", code=Code.STATEMENT_DUPLICATE)
        await clients.add(draft.connection, new, now=draft.now)


def _action_for(kind: str) -> Action:
    return Action.MANAGE_GATEWAY if kind == "gateway" else Action.MANAGE_APPLICATION


def _check_form(new: NewClient) -> None:
    try:
        raw = base64_text.from_any(
            new.client_id, what="the client id", least=CLIENT_ID_BYTES, most=CLIENT_ID_BYTES
        )
        if new.public_key:
            P256PublicKey(new.public_key)
    except InvalidInput as error:
        raise Refused(error.message, code=Code.REQUEST_MALFORMED) from None
    if base64_text.to_standard(raw) != new.client_id:
        raise Refused("the client id is not standard base64", code=Code.REQUEST_MALFORMED)
    need_size(new.name, CLIENT_NAME, "a client's name", least=1)
    wanted = 0 if new.public_key else WRAPPED_KEY
    need_size(new.app_key, wanted, "the application key under the token", least=wanted)


def _check_times(new: NewClient, now: int) -> None:
    waits = not new.public_key
    if waits and not now < new.token_expires <= now + TOKEN_LIFE_S:
        raise Refused(
            f"a token is valid for at most {TOKEN_LIFE_S // 60} minutes",
            code=Code.REQUEST_MALFORMED,
        )
    if not 0 <= new.token_expires < _LAST_TIME or (
        new.access_expires and not now < new.access_expires < _LAST_TIME
    ):
        raise Refused("a client's times are malformed", code=Code.REQUEST_MALFORMED)


def _check_gateway(draft: Draft, new: NewClient) -> None:
    if new.public_key:
        known = (
            gateway.application == new.application and gateway.ksm_key == new.public_key
            for gateway in draft.state.gateways.values()
            if gateway.client_id == new.client_id
        )
        if new.voucher or not any(known):
            raise Refused("the gateway is not in the log", code=Code.OBJECT_UNKNOWN)
        return
    voucher = draft.state.vouchers.get(new.voucher)
    if voucher is None or voucher.voucher in draft.state.used_vouchers:
        raise Refused("the gateway's voucher is not in the log", code=Code.OBJECT_UNKNOWN)
    if (voucher.purpose, voucher.application, voucher.not_after, voucher.ip_lock) != (
        "gateway", new.application, new.token_expires, new.ip_lock,
    ):  # fmt: skip
        raise Refused("the client differs from its voucher", code=Code.VOUCHER_MISMATCH)
