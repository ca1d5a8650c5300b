"""The set-up join string: once, by who holds it, all or nothing."""

from __future__ import annotations

import asyncio
import os

import pytest

from commander.authority.refusals import Code
from commander.backend import identity
from commander.wire import calls
from tests.support.backend_server import BackendServer, changed, refused

pytestmark = pytest.mark.integration


async def test_setup_string_works_once_and_a_second_use_is_audited(server: BackendServer) -> None:
    """Who comes second learns that it was used, and the administrator can read that somebody tried."""
    secret = await identity.new_setup_secret(server.core.database)
    _, _, other = await server.setup_request("eve@example.org", secret)
    admin = await server.set_up()

    with refused(Code.SETUP_USED):
        await server.api().call(calls.SETUP, other)

    answer = await admin.call(
        calls.AUDIT_READ, calls.AuditRead(0, 0, 0, "", "setup-consumed", "", "", 0)
    )
    assert len(answer.events) == 2
    assert next(iter(server.core.state.users.values())).user == admin.user


async def test_wrong_setup_secret_is_refused_and_the_right_one_works_after(
    server: BackendServer,
) -> None:
    """A stranger who finds a fresh server cannot own it, nor spoil the string."""
    _, _, request = await server.setup_request()

    for secret in (b"", os.urandom(32), b"\x00" * 32):
        with refused(Code.SETUP_WRONG):
            await server.api().call(calls.SETUP, changed(request, secret=secret))
    assert (await server.api().call(calls.SETUP, request)).session


async def test_newer_setup_string_voids_the_older(server: BackendServer) -> None:
    """A lost string is replaced, not added to."""
    _, _, old = await server.setup_request()
    _, _, new = await server.setup_request()

    with refused(Code.SETUP_WRONG):
        await server.api().call(calls.SETUP, old)
    assert (await server.api().call(calls.SETUP, new)).session


async def test_one_of_many_racing_setups_wins(server: BackendServer) -> None:
    """Twenty holders of one string at once make one enterprise."""
    secret = await identity.new_setup_secret(server.core.database)
    requests = [(await server.setup_request(f"u{n}@example.org", secret))[2] for n in range(20)]
    api = server.api()

    outcomes = await asyncio.gather(
        *(api.call(calls.SETUP, request) for request in requests), return_exceptions=True
    )

    won = [outcome for outcome in outcomes if isinstance(outcome, calls.SessionAnswer)]
    codes = {getattr(outcome, "code", "") for outcome in outcomes} - {""}
    assert (len(won), codes) == (1, {Code.SETUP_USED})


async def test_bad_commit_changes_nothing_and_leaves_the_string_good(server: BackendServer) -> None:
    """Whatever is wrong with the first account, the next attempt finds an empty server."""
    _, _, good = await server.setup_request()
    commit, account = good.commit, good.account
    last = changed(commit.statements[-1], signature=bytes(64))
    bad = {
        Code.STATEMENT_NOT_ENTITLED: changed(
            good, commit=changed(commit, statements=(*commit.statements[:-1], last))
        ),
        Code.SEAL_BROKEN: changed(
            good,
            commit=changed(commit, folders=(changed(commit.folders[0], payload=b"other"),)),
        ),
        Code.REQUEST_MALFORMED: changed(good, account=changed(account, email="x@example.org")),
        Code.TOO_LARGE: changed(good, account=changed(account, wrapped_identity=bytes(20_000))),
    }

    for code, request in bad.items():
        with refused(code):
            await server.api().call(calls.SETUP, request)
        assert server.core.state.seq == -1
    for email in ("Ann@Example.org", "ann", "a" * 300 + "@example.org"):
        with refused(Code.REQUEST_MALFORMED):
            await server.api().call(
                calls.SETUP, changed(good, account=changed(account, email=email))
            )
    with refused(Code.REQUEST_MALFORMED):
        await server.api().call(calls.SETUP, changed(good, commit=calls.Commit()))
    assert (await server.api().call(calls.SETUP, good)).session
