"""
Applying statements: chain, signature, entitlement, then the fact.

`apply` changes nothing when it raises. Clients, server and gateways run the same code, so a
statement one of them takes is taken by all.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable
from typing import Any

from commander.authority.decide import Action, Allow, decide
from commander.authority.email import is_normal_email
from commander.authority.policies import POLICIES
from commander.authority.refusals import Code
from commander.authority.state import State
from commander.authority.statements import (
    BODY_LIMIT,
    MAX_NAME,
    ROOT,
    Access,
    Administrator,
    Application,
    Body,
    Client,
    Device,
    Folder,
    Gateway,
    Genesis,
    Kind,
    Membership,
    Revoke,
    Right,
    Role,
    Statement,
    User,
    Voucher,
    client_uid,
    root_fingerprint,
)
from commander.crypto.box import BoxPublicKey
from commander.crypto.signing import VerifyKey
from commander.errors import InvalidInput, Refused, Tampered
from commander.ids import is_uid

KSM_KEY_BYTES = 65
_NAMES: dict[type[Body], str] = {
    User: "user", Device: "device", Role: "role", Folder: "folder", Application: "application",
    Voucher: "voucher", Gateway: "gateway", Client: "client",
}  # fmt: skip
# The root signs these and nothing after: the first user and that user's administrator statement.
_AGAIN = (Kind.ROLE, Kind.CLIENT)  # a role is stated again to change it, a client to confirm it
_ROOT_STATEMENTS = {0: Kind.GENESIS, 1: Kind.USER, 2: Kind.ADMINISTRATOR}


def replay(statements: Iterable[Statement], *, fingerprint: bytes | None = None) -> State:
    """
    Evaluate a whole log. Raises Refused with the code of the first bad statement, or
    Tampered when the root is not the pinned one.
    """
    state = State()
    for statement in statements:
        apply(state, statement)
    if fingerprint is not None:
        check_root(state, fingerprint)
    return state


def check_root(state: State, fingerprint: bytes) -> None:
    """Raise Tampered unless the log begins with the root that was pinned."""
    if state.genesis is None or not hmac.compare_digest(
        root_fingerprint(state.genesis.root_key), fingerprint
    ):
        raise Tampered(
            "the server's authority log begins with another enterprise root than the pinned one",
            hint="do not use this server; tell an administrator",
            code=Code.LOG_FORKED,
        )


def check_pin(state: State, seq: int, digest: bytes) -> None:
    """Raise Tampered when the log is shorter than a pinned position or differs at it."""
    if seq < 0:
        return
    if state.seq < seq or not hmac.compare_digest(state.digests[seq], digest):
        raise Tampered(
            f"the authority log was rolled back or forked: it differs from position {seq} seen before",
            hint="do not use this server; tell an administrator",
            code=Code.LOG_FORKED,
        )


def apply(state: State, statement: Statement) -> None:
    """Check a statement against the state and make it part of it. Raises Refused."""
    if statement.seq != state.seq + 1 or statement.prev_hash != state.head:
        raise _refuse(
            Code.STATEMENT_CHAIN, f"statement {statement.seq} does not follow {state.seq}"
        )
    if len(statement.body) > BODY_LIMIT or statement.time < 0:
        raise _refuse(Code.STATEMENT_MALFORMED, f"statement {statement.seq} is over its limits")
    body = statement.parse_body()
    if (statement.kind is Kind.GENESIS) != (statement.seq == 0):
        raise _refuse(Code.STATEMENT_NOT_ENTITLED, "genesis is the first statement and only that")
    statement.verify(_signer_key(state, statement, body))
    uid = _own_uid(body)
    taken = state.kinds.get(uid)
    _need_new(taken is None or taken is statement.kind in _AGAIN, f"{taken} {uid}")
    rule, effect = _RULES[statement.kind]
    rule(state, statement, body)
    effect(state, statement, body)
    if uid:
        state.kinds[uid] = statement.kind
    state.seq = statement.seq
    state.head = statement.digest()
    state.digests.append(state.head)


def _own_uid(body: Body) -> str:
    """The UID a statement introduces, or "" for those that only speak of others."""
    name = _NAMES.get(type(body))
    return str(getattr(body, name)) if name else ""


def _signer_key(state: State, statement: Statement, body: object) -> VerifyKey:
    try:
        if statement.signer == ROOT:
            return _root_key(state, statement, body)
        user = state.users.get(statement.signer)
        if user is not None:
            return VerifyKey(user.sign_key)
        voucher = state.vouchers.get(statement.signer)
        if voucher is not None:
            return VerifyKey(voucher.public_key)
    except InvalidInput as error:
        raise _refuse(Code.STATEMENT_MALFORMED, str(error)) from None
    raise _not_entitled(statement)


def _root_key(state: State, statement: Statement, body: object) -> VerifyKey:
    if _ROOT_STATEMENTS.get(statement.seq) is not statement.kind:
        raise _not_entitled(statement)
    if isinstance(body, Genesis):
        return VerifyKey(body.root_key)
    assert state.genesis is not None
    return VerifyKey(state.genesis.root_key)


def _refuse(code: Code, reason: str) -> Refused:
    return Refused(reason, code=code)


def _not_entitled(statement: Statement) -> Refused:
    return _refuse(
        Code.STATEMENT_NOT_ENTITLED,
        f"{statement.signer[:22]} may not make the {statement.kind} statement {statement.seq}",
    )


def _need(statement: Statement, condition: bool) -> None:
    if not condition:
        raise _not_entitled(statement)


def _need_form(condition: bool, what: str) -> None:
    if not condition:
        raise _refuse(Code.STATEMENT_MALFORMED, f"{what} is malformed")


def _need_new(condition: bool, what: str) -> None:
    if not condition:
        raise _refuse(Code.STATEMENT_DUPLICATE, f"{what} exists already")


def _check_keys(sign_key: bytes, box_key: bytes) -> None:
    try:
        VerifyKey(sign_key)
        BoxPublicKey(box_key)
    except InvalidInput as error:
        raise _refuse(Code.STATEMENT_MALFORMED, str(error)) from None


def _check_name(name: str) -> None:
    _need_form(0 < len(name) <= MAX_NAME and name.isprintable() and name == name.strip(), "a name")


def _need_allowed(state: State, statement: Statement, action: Action, target: str = "") -> None:
    decision = decide(state, statement.signer, action, target, now=statement.time)
    decision.enforce()


def _rule_genesis(state: State, statement: Statement, body: Genesis) -> None:
    _need(statement, statement.signer == ROOT)
    _need_form(is_uid(body.enterprise), "the enterprise UID")
    _check_name(body.name)


def _rule_user(state: State, statement: Statement, body: User) -> None:
    _need_form(is_uid(body.user), "the user UID")
    _need_form(is_normal_email(body.email), "the e-mail")
    _check_keys(body.sign_key, body.box_key)
    _need_new(state.user_by_email(body.email) is None, f"user {body.email}")
    if statement.signer == ROOT:
        return
    voucher = _open_voucher(state, statement, "user")
    if voucher.email != body.email:
        raise _refuse(Code.VOUCHER_MISMATCH, "the invitation is for another e-mail")


def _open_voucher(state: State, statement: Statement, purpose: str) -> Voucher:
    voucher = state.vouchers.get(statement.signer)
    if voucher is None:
        raise _not_entitled(statement)
    if voucher.purpose != purpose:
        raise _refuse(Code.VOUCHER_MISMATCH, f"the voucher is not for a {purpose}")
    if voucher.voucher in state.used_vouchers:
        raise _refuse(Code.VOUCHER_USED, f"voucher {voucher.voucher} was used before")
    if statement.time >= voucher.not_after:
        raise _refuse(Code.VOUCHER_EXPIRED, f"voucher {voucher.voucher} is too old")
    return voucher


def _rule_device(state: State, statement: Statement, body: Device) -> None:
    _need(statement, statement.signer == body.user)
    _need_form(is_uid(body.device), "the device UID")
    _check_name(body.name)
    _check_keys(body.sign_key, body.box_key)


def _rule_administrator(state: State, statement: Statement, body: Administrator) -> None:
    if statement.signer != ROOT:
        _need_allowed(state, statement, Action.ADMINISTER)
    _need_exists(state.users.get(body.user), f"user {body.user}")


def _need_exists(found: object, what: str) -> None:
    if found is None:
        raise _refuse(Code.OBJECT_UNKNOWN, f"{what} is not known")


def _rule_role(state: State, statement: Statement, body: Role) -> None:
    _need_allowed(state, statement, Action.ADMINISTER)
    _need_form(is_uid(body.role), "the role UID")
    _check_name(body.name)
    for key in body.enforcements:
        _need_form(key in POLICIES, f"enforcement key {key[:64]!r}")
    same = next((role for role in state.roles.values() if role.name == body.name), None)
    _need_new(same is None or same.role == body.role, f"role {body.name}")


def _rule_membership(state: State, statement: Statement, body: Membership) -> None:
    _need_allowed(state, statement, Action.ADMINISTER)
    _need_exists(state.roles.get(body.role), f"role {body.role}")
    _need_exists(state.users.get(body.user), f"user {body.user}")


def _rule_folder(state: State, statement: Statement, body: Folder) -> None:
    _need(statement, statement.signer == body.owner)
    _need_form(is_uid(body.folder), "the folder UID")


def _rule_access(state: State, statement: Statement, body: Access) -> None:
    if state.applications.known(body.folder):
        _rule_application_access(state, statement, body)
        return
    _need_allowed(state, statement, Action.SHARE, body.folder)
    _need_form(0 < len(set(body.rights)) == len(body.rights), "the list of rights")
    _need_form(
        body.not_before >= 0 and (not body.not_after or body.not_before < body.not_after),
        "the period",
    )
    folder = state.folders.get(body.folder)
    _need(statement, folder is not None and not folder.personal)
    _need_within_own(state, statement, body)
    if body.principal_kind == "user":
        _need_exists(state.users.get(body.principal), f"user {body.principal}")
        return
    # Only who holds the application key can wrap the folder key for it, so only they may grant.
    _need_allowed(state, statement, Action.MANAGE_APPLICATION, body.principal)
    _need_form(Right.SHARE not in body.rights, "the list of rights")


def _rule_application_access(state: State, statement: Statement, body: Access) -> None:
    """An application shared with a user: who may view it knows its key, who may edit manages it."""
    _need_allowed(state, statement, Action.MANAGE_APPLICATION, body.folder)
    application = state.applications.get(body.folder)
    assert application is not None, "whoever manages it, it is there"
    _need(statement, application.owner == statement.signer != body.principal)
    _need_form(
        body.principal_kind == "user"
        and body.rights in ((Right.VIEW,), (Right.VIEW, Right.EDIT))
        and body.not_before == body.not_after == 0,
        "the share of an application",
    )
    _need_exists(state.users.get(body.principal), f"user {body.principal}")


def _need_within_own(state: State, statement: Statement, body: Access) -> None:
    """Who shares without owning hands on what they have themselves, and for no longer."""
    own = state.accesses.get((body.folder, statement.signer))
    folder = state.folders.get(body.folder)
    if own is None or (folder is not None and folder.owner == statement.signer):
        return
    ends_in_time = not own.not_after or 0 < body.not_after <= own.not_after
    if not (
        set(body.rights) <= set(own.rights) and body.not_before >= own.not_before and ends_in_time
    ):
        raise _refuse(
            Code.RIGHT_MISSING,
            f"{statement.signer} may not give more of folder {body.folder} than they have",
        )


def _rule_application(state: State, statement: Statement, body: Application) -> None:
    _need(statement, statement.signer == body.owner)
    _need_allowed(state, statement, Action.CREATE_APPLICATION)
    _need_form(is_uid(body.application), "the application UID")


def _rule_voucher(state: State, statement: Statement, body: Voucher) -> None:
    _need_form(is_uid(body.voucher), "the voucher UID")
    _need_form(statement.time < body.not_after, "the expiry")
    if body.purpose == "user":
        _need_allowed(state, statement, Action.ADMINISTER)
        _need_form(is_normal_email(body.email) and not body.application, "the invitation")
        _need_new(state.user_by_email(body.email) is None, f"user {body.email}")
        return
    _need_form(not body.email, "the gateway voucher")
    _need_allowed(state, statement, Action.MANAGE_GATEWAY, body.application)


def _rule_gateway(state: State, statement: Statement, body: Gateway) -> None:
    _need_form(is_uid(body.gateway) and len(body.client_id) == 88, "the gateway")
    _need_form(_is_point(body.ksm_key), "the gateway's P-256 key")
    _check_keys(body.sign_key, body.box_key)
    _need_new(
        all(known.client_id != body.client_id for known in state.gateways.values()), "the client"
    )
    if state.users.get(statement.signer) is not None:
        _need_form(body.voucher == "", "the voucher")
        _need_allowed(state, statement, Action.MANAGE_GATEWAY, body.application)
        return
    voucher = _open_voucher(state, statement, "gateway")
    if voucher.application != body.application or body.voucher != voucher.voucher:
        raise _refuse(Code.VOUCHER_MISMATCH, "the token is for another application")
    _need_exists(state.applications.get(body.application), f"application {body.application}")


def _rule_client(state: State, statement: Statement, body: Client) -> None:
    _need_form(
        len(body.client_id) == 88 and body.client == client_uid(body.client_id), "the client"
    )
    _need_form(_is_point(body.ksm_key) or not body.ksm_key, "the client's P-256 key")
    _need_allowed(state, statement, Action.MANAGE_APPLICATION, body.application)
    known = state.clients.latest(body.client)
    if known is None:
        return
    # Confirmed once: the key of a device never changes, and what was removed stays removed.
    same = (known.application, known.client_id) == (body.application, body.client_id)
    holds = state.clients.get(body.client) is not None
    _need_new(same and holds and not known.ksm_key and body.ksm_key != b"", "the client")


def _is_point(key: bytes) -> bool:
    return len(key) == KSM_KEY_BYTES and key[0] == 4


def _rule_revoke(state: State, statement: Statement, body: Revoke) -> None:
    signer = statement.signer
    _need(statement, state.users.get(signer) is not None)
    if body.kind is Kind.GENESIS:
        raise _not_entitled(statement)
    if body.kind is Kind.ADMINISTRATOR:
        others = [a for a in state.administrators.values() if a.user != body.target]
        # An enterprise without an administrator could never be repaired.
        _need(statement, bool(others))
    if isinstance(decide(state, signer, Action.ADMINISTER, now=statement.time), Allow):
        return
    _need(statement, _owns(state, signer, body, now=statement.time))


def _owns(state: State, signer: str, body: Revoke, *, now: float) -> bool:
    """Tell whether a user who is no administrator may end what a revoke names."""
    if body.kind is Kind.DEVICE:
        device = state.devices.get(body.target)
        return device is not None and device.user == signer
    if body.kind is Kind.FOLDER:
        folder = state.folders.get(body.target)
        return folder is not None and folder.owner == signer
    if body.kind is Kind.ACCESS:
        allowed = decide(state, signer, Action.SHARE, body.target, now=now)
        if body.principal == signer or isinstance(allowed, Allow):
            return True
    application = _application_of(state, body)
    if body.kind is Kind.CLIENT:
        allowed = decide(state, signer, Action.MANAGE_APPLICATION, application, now=now)
        return isinstance(allowed, Allow)
    owner = state.applications.get(application)
    return owner is not None and owner.owner == signer


def _application_of(state: State, body: Revoke) -> str:
    if body.kind is Kind.GATEWAY:
        gateway = state.gateways.get(body.target)
        return gateway.application if gateway else ""
    if body.kind is Kind.ACCESS:
        return body.target
    if body.kind is Kind.CLIENT:
        client = state.clients.get(body.target)
        return client.application if client else ""
    if body.kind is Kind.VOUCHER:
        voucher = state.vouchers.get(body.target)
        return voucher.application if voucher else ""
    return body.target if body.kind is Kind.APPLICATION else ""


def _effect_genesis(state: State, statement: Statement, body: Genesis) -> None:
    state.genesis = body


def _effect_revoke(state: State, statement: Statement, body: Revoke) -> None:
    if not state.end(body, statement.seq):
        raise _refuse(Code.OBJECT_UNKNOWN, f"{body.kind} {body.target[:40]} is not known")


def _effect_user(state: State, statement: Statement, body: User) -> None:
    state.users.add(body.user, body, statement.seq)
    state.used_vouchers.add(statement.signer)


def _effect_gateway(state: State, statement: Statement, body: Gateway) -> None:
    state.gateways.add(body.gateway, body, statement.seq)
    if body.voucher:
        state.used_vouchers.add(body.voucher)


def _adds(table: str, key: Callable[[Any], object]) -> Callable[[State, Statement, Any], None]:
    def effect(state: State, statement: Statement, body: object) -> None:
        getattr(state, table).add(key(body), body, statement.seq)

    return effect


Rule = Callable[[State, Statement, Any], None]

_RULES: dict[Kind, tuple[Rule, Rule]] = {
    Kind.GENESIS: (_rule_genesis, _effect_genesis),
    Kind.USER: (_rule_user, _effect_user),
    Kind.DEVICE: (_rule_device, _adds("devices", lambda b: b.device)),
    Kind.ADMINISTRATOR: (_rule_administrator, _adds("administrators", lambda b: b.user)),
    Kind.ROLE: (_rule_role, _adds("roles", lambda b: b.role)),
    Kind.MEMBERSHIP: (_rule_membership, _adds("memberships", lambda b: (b.role, b.user))),
    Kind.FOLDER: (_rule_folder, _adds("folders", lambda b: b.folder)),
    Kind.ACCESS: (_rule_access, _adds("accesses", lambda b: (b.folder, b.principal))),
    Kind.APPLICATION: (_rule_application, _adds("applications", lambda b: b.application)),
    Kind.VOUCHER: (_rule_voucher, _adds("vouchers", lambda b: b.voucher)),
    Kind.GATEWAY: (_rule_gateway, _effect_gateway),
    Kind.CLIENT: (_rule_client, _adds("clients", lambda b: b.client)),
    Kind.REVOKE: (_rule_revoke, _effect_revoke),
}
