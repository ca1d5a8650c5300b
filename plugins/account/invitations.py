"""`account invite` and `account accept`."""

from __future__ import annotations

import asyncio
from pathlib import Path

from commander.api.client import Api
from commander.authority.log import replay
from commander.errors import InvalidInput
from commander.plugin.command import Arguments
from commander.plugin.context import Context
from commander.plugin.results import Document, Plain, Result, Shape
from commander.vault.device import new_device
from commander.vault.enrolment import Candidate, accept_commit, new_candidate
from commander.vault.replica import Replica
from commander.vault.session import Vault
from commander.vault.sync import merge_log
from commander.wire import calls
from commander.wire.join import Join, write_join
from commander.wire.proofs import invitation_key, invitation_uid, sign_invitation
from plugins.account.joining import (
    begin_session,
    ca_fingerprint,
    caller_of,
    learn_joined,
    machine_name,
    open_api,
    read_join_argument,
    store_of,
    write_new_file,
)
from plugins.account.kit import make_kit
from plugins.account.passwords import read_new_password
from plugins.account.setup import (
    check_files,
    check_no_account,
    existing_account,
    kept_account,
    kit_lines,
    save_kit,
)


async def invite(context: Context, arguments: Arguments) -> Result:
    """Print a join string; whoever has it can make the account, once."""
    vault = context.vault
    await vault.refresh()
    roles = [vault.people.find_role(name).name for name in arguments.texts("role")]
    invitation = await vault.people.invite(
        arguments.text("email"), valid_s=arguments.integer("expires_in")
    )
    server = context.api.server
    root = vault.login.device.root
    join = write_join(
        Join("invite", server.address, invitation.secret, root, ca_fingerprint(server))
    )
    values: dict[str, Plain] = {"email": invitation.email, "expires": invitation.expires}
    path = arguments.text_or_none("join_file")
    if path is not None:
        write_new_file(Path(path), join)
        values["join_file"] = path
        lines = [f"The invitation of {invitation.email} is in {path}."]
    else:
        values["join"] = join
        lines = [f"Give this to {invitation.email}, by a way nobody else reads:", "", join, ""]
    lines.append("They run: commander account accept --join-file FILE")
    for role in roles:
        # A membership names a user, and there is none before the invitation is accepted.
        lines.append(
            f'When they have joined: commander enterprise-role "{role}" -au {invitation.email}'
        )
    values["roles_to_give"] = roles
    return Document(values, text="\n".join(lines), shapes={"expires": Shape.TIME})


async def accept(context: Context, arguments: Arguments) -> Result:
    """Make the account of an invitation on this machine."""
    check_no_account(existing_account(context))
    check_files(arguments, "kit_file")
    join = await read_join_argument(context, arguments, "invite")
    server = await learn_joined(join)
    api = open_api(context, server)
    try:
        return await _accept(context, arguments, join, api)
    except BaseException:
        await api.close()
        raise


async def _accept(context: Context, arguments: Arguments, join: Join, api: Api) -> Result:
    voucher, key = invitation_uid(join.secret), invitation_key(join.secret)
    proof = sign_invitation(key, voucher, int(context.clock.now()))
    log = await api.call(calls.INVITATION, proof)
    email = _invited_email(log, join, voucher)
    password = await read_new_password(context, arguments)
    context.console.progress("making the account")
    candidate = await asyncio.to_thread(new_candidate, email, password.reveal(), with_root=False)
    device = new_device(
        api.server,
        root=join.root,
        email=email,
        user=candidate.user,
        account_secret=candidate.secret.raw,
        name=machine_name(arguments),
    )
    replica = _replica(candidate, log, join.root)
    commit = accept_commit(
        candidate, device, replica, voucher=voucher, key=key, now=context.clock.now()
    )
    kit = make_kit(device, candidate.secret, None, ca_fingerprint(api.server))
    kit_file = save_kit(arguments, kit)
    request = calls.AcceptRequest(voucher, candidate.account(), commit)
    async with kept_account(context, device, kit, kit_file) as made:
        answer = await api.call(calls.ACCEPT, request)
        made.is_certain = True
        login = candidate.unlocked(device, session=answer.session, expires=answer.expires)
        api.caller = caller_of(login)
        vault = await Vault.open(login, api, clock=context.clock, store=store_of(context, login))
        await begin_session(context, login, vault, api)
    values: dict[str, Plain] = {"account": email, "server": api.server.address}
    lines = [f"Account {email} is ready, and you are logged in."]
    lines += kit_lines(kit, kit_file, values)
    return Document(values, text="\n".join(lines))


def _replica(candidate: Candidate, log: calls.LogAnswer, root: bytes) -> Replica:
    replica = Replica(candidate.user, candidate.identity)
    merge_log(replica, log, fingerprint=root)
    return replica


def _invited_email(log: calls.LogAnswer, join: Join, voucher: str) -> str:
    """Whom the invitation is for, as the verified log says."""
    state = replay(log.statements, fingerprint=join.root)
    found = state.vouchers.get(voucher)
    if found is None:
        raise InvalidInput(
            "this invitation is not in the server's log", hint="ask for a new invitation"
        )
    return found.email
