from __future__ import annotations

import pytest

from commander.authority.log import replay
from commander.authority.policies import POLICIES
from commander.errors import InvalidInput
from commander.vault.accounts import derive_login_keys, unwrap_data_key, unwrap_identity
from commander.vault.enrolment import (
    Candidate,
    device_statement,
    first_commit,
    new_candidate,
    root_of,
)
from tests.support.vaults import candidate, device_for

EMAIL = "ann@example.org"
PASSWORD = b"correct horse"


def test_account_made_from_a_password_is_opened_by_it() -> None:
    """What the server keeps gives the keys back to the password and the account secret, only."""
    made = new_candidate(EMAIL, PASSWORD, with_root=True)
    account = made.account()

    keys = derive_login_keys(PASSWORD, made.secret, EMAIL)
    data_key = unwrap_data_key(keys, account.wrapped_data_key, EMAIL)
    identity = unwrap_identity(data_key, account.wrapped_identity, user=made.user, email=EMAIL)

    assert account.login_key == keys.login.public.raw
    assert data_key == made.data_key
    assert identity.root is not None


def test_weak_password_makes_no_account() -> None:
    """Before anything slow is done."""
    with pytest.raises(InvalidInput):
        new_candidate(EMAIL, b"short", with_root=False)


def test_first_commit_is_a_log_by_itself() -> None:
    """It replays under its own root; the first user is administrator with every policy."""
    account: Candidate = candidate(EMAIL, with_root=True)
    device = device_for(account, root_of(account))

    commit = first_commit(account, device, name="Example", now=1_800_000_000.5)
    state = replay(commit.statements, fingerprint=root_of(account))

    assert state.administrators.get(account.user) is not None
    assert state.devices.get(device.device) == device_statement(device)
    [role] = state.roles_of(account.user)
    assert role.enforcements == dict.fromkeys(POLICIES, True)
    [folder] = state.folders.values()
    assert folder.personal
    assert len(commit.grants) == len(commit.folders) == 1


def test_login_of_a_new_account_holds_its_keys() -> None:
    """Without showing them."""
    account = candidate(EMAIL)
    login = account.unlocked(device_for(account, bytes(32)), session="s", expires=9)

    assert (login.session, login.data_key) == ("s", account.data_key)
    assert repr(account.data_key) not in repr(login)
