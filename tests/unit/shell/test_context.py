from __future__ import annotations

import pytest

from commander.errors import NotLoggedIn
from commander.ids import FolderUid
from commander.plugin.testing import FakeTunnels
from tests.unit.shell.parts import Logins, Shell, some_session


async def test_vault_and_api_need_a_session() -> None:
    """Without a session both raise NotLoggedIn with the way out."""
    context = Shell().context
    for name in ("vault", "api"):
        with pytest.raises(NotLoggedIn) as caught:
            getattr(context, name)
        assert caught.value.hint == "login EMAIL"
    assert not context.is_logged_in
    assert context.user_name == ""


async def test_a_session_is_resumed_once_and_closed_once() -> None:
    """require_login takes a kept login; ending closes tunnels, forgets folder and session."""
    session, tunnels = some_session(), FakeTunnels(2)
    logins = Logins(session)
    context = Shell(logins=logins, tunnels=tunnels).context
    await context.require_login()
    context.location.folder, context.location.path = FolderUid("f" * 22), ("a",)

    assert context.vault is session.vault
    assert context.api is session.api
    assert context.user_name == "me@example.com"
    await context.end_session()
    await context.end_session()

    assert logins.closed == [session]
    assert tunnels.open_count() == 0
    assert not context.is_logged_in
    assert not any(context.location.path)


async def test_idle_session_is_locked_without_ending_its_tunnels() -> None:
    """The vault is out of reach at once; the client lives on until the shell closes what it opened."""
    session, tunnels = some_session(), FakeTunnels(2)
    logins = Logins(session)
    context = Shell(logins=logins, tunnels=tunnels).context
    await context.require_login()
    await context.require_login()
    logins.is_locked = True

    with pytest.raises(NotLoggedIn, match="30 minutes"):
        await context.require_login()

    assert not context.is_logged_in
    assert tunnels.open_count() == 2
    assert logins.closed == []
    await context.close("the shell ended")
    assert logins.closed == [session]


async def test_login_hands_its_session_over() -> None:
    """start_session makes vault and api available at once."""
    session = some_session()
    context = Shell().context
    context.start_session(session.vault, session.api)

    assert context.is_logged_in
    assert context.vault is session.vault


async def test_closing_ends_everything_even_when_one_thing_fails() -> None:
    """A callback that raises does not keep the session open."""
    logins = Logins(some_session())
    context = Shell(logins=logins).context
    await context.require_login()
    closed: list[str] = []
    context.exit_stack.callback(lambda: closed.append("first in"))
    context.exit_stack.callback(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        await context.close("end")

    assert closed == ["first in"]
    assert len(logins.closed) == 1


def test_shared_objects_are_made_once() -> None:
    """One object of a type lives as long as the context."""
    context = Shell().context

    assert context.shared(list, list) is context.shared(list, list)
    assert context.shared(dict, dict) == {}
