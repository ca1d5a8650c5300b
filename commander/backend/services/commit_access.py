"""Key grants and invitations of a commit."""

from __future__ import annotations

from commander.authority.decide import Action
from commander.authority.refusals import Code
from commander.backend.ledger import check_time
from commander.backend.services.draft import Draft, need_once
from commander.backend.storage import accounts, applications, grants
from commander.errors import Refused
from commander.wire import seals
from commander.wire.calls import NewInvitation
from commander.wire.seals import GrantSeal, KeyGrant

_MOST_EPOCHS = 2**31


async def put_grants(draft: Draft, added: tuple[KeyGrant, ...]) -> None:
    """Check and store key grants. Raises Refused."""
    for grant in added:
        seal = seals.read_grant_seal(grant.seal)
        _check_giver(draft, seal)
        _check_recipient(draft, seal)
        seals.verify_grant(draft.state, grant)
        await grants.put(draft.connection, seal, grant)
        if seal.kind == "application":
            await applications.renew(draft.connection, seal.object)


def _check_giver(draft: Draft, seal: GrantSeal) -> None:
    if seal.granter != draft.user:
        raise Refused("a grant is signed by another user", code=Code.SEAL_AUTHOR)
    check_time(seal.time, draft.now, "a key grant")
    if seal.kind not in ("folder", "application") or not 0 <= seal.epoch < _MOST_EPOCHS:
        raise Refused("a key grant is malformed", code=Code.REQUEST_MALFORMED)
    # The state's view of folders and applications also proves that `object` is a UID.
    action = Action.SHARE if seal.kind == "folder" else Action.MANAGE_APPLICATION
    draft.need(action, seal.object)


def _check_recipient(draft: Draft, seal: GrantSeal) -> None:
    state = draft.state
    if state.users.get(seal.recipient) is None:
        raise Refused(f"user {seal.recipient[:22]} is not known", code=Code.USER_UNKNOWN)
    if seal.kind == "application":
        return
    folder = state.folders.get(seal.object)
    is_owner = folder is not None and folder.owner == seal.recipient
    # Also before a share begins: the key lies ready, and sync shows it when it does.
    if not is_owner and state.accesses.get((seal.object, seal.recipient)) is None:
        raise Refused(
            f"folder {seal.object} is not shared with {seal.recipient}", code=Code.ACCESS_MISSING
        )


async def add_invitations(draft: Draft, added: tuple[NewInvitation, ...]) -> None:
    """Check invitations against their vouchers in the log, and store them. Raises Refused."""
    need_once([invitation.voucher for invitation in added], "an invitation")
    for invitation in added:
        voucher = draft.state.vouchers.get(invitation.voucher)
        if voucher is None or voucher.purpose != "user":
            raise Refused("an invitation has no voucher", code=Code.OBJECT_UNKNOWN)
        draft.need(Action.ADMINISTER, "")
        if (invitation.email, invitation.expires) != (voucher.email, voucher.not_after):
            raise Refused("an invitation differs from its voucher", code=Code.VOUCHER_MISMATCH)
        if await accounts.has_invitation(draft.connection, invitation.voucher):
            raise Refused("an invitation exists already", code=Code.STATEMENT_DUPLICATE)
        await accounts.add_invitation(draft.connection, invitation, now=draft.now)
