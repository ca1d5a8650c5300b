from __future__ import annotations

import pytest

from commander.authority.refusals import Code
from commander.authority.statements import Device, Statement, sign_statement
from commander.backend.services.accounts import check_account, read_author
from commander.backend.services.apply_commit import Author
from commander.errors import Refused
from commander.ids import DeviceUid, UserUid, new_uid
from commander.wire.calls import Commit, NewAccount
from tests.support.enterprise import Enterprise


@pytest.fixture
def acme() -> Enterprise:
    return Enterprise()


def account_of(acme: Enterprise, email: str = "") -> NewAccount:
    admin = acme.admin
    return NewAccount(email or admin.email, admin.user, bytes(32), b"dk", b"identity")


def code_of(account: NewAccount, *statements: Statement) -> str:
    try:
        check_account(account)
        read_author(account, Commit(statements=statements))
    except Refused as error:
        return error.code
    return ""


def test_author_is_the_one_user_with_the_one_device(acme: Enterprise) -> None:
    """Both as the commit states them."""
    admin = acme.admin

    author = read_author(account_of(acme), Commit(statements=tuple(acme.statements)))

    assert author == Author(admin.user, admin.device, admin.device_key.public.raw)


def test_other_counts_of_users_and_devices_are_malformed(acme: Enterprise) -> None:
    """None, two, or those of somebody else."""
    account, statements = account_of(acme), tuple(acme.statements)
    admin = acme.admin
    keys = (admin.device_key.public.raw, admin.device_box.public.raw)

    def another(user: UserUid) -> Statement:
        return sign_statement(
            Device(DeviceUid(new_uid()), user, "x", *keys), seq=9, prev_hash=bytes(32), time=0,
            signer=admin.user, key=admin.identity,
        )  # fmt: skip

    assert code_of(account, *statements) == ""
    assert code_of(account) == Code.REQUEST_MALFORMED
    assert code_of(account, *statements[:-1]) == Code.REQUEST_MALFORMED
    assert code_of(account, *statements, statements[1]) == Code.REQUEST_MALFORMED
    assert code_of(account, *statements, another(admin.user)) == Code.REQUEST_MALFORMED
    foreign = another(UserUid(new_uid()))
    assert code_of(account, *statements[:-1], foreign) == Code.REQUEST_MALFORMED
    assert code_of(account_of(acme, "x@acme.example"), *statements) == Code.REQUEST_MALFORMED


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("email", "Ann@acme.example", Code.REQUEST_MALFORMED),
        ("login_key", bytes(31), Code.REQUEST_MALFORMED),
        ("wrapped_data_key", b"", Code.REQUEST_MALFORMED),
        ("wrapped_identity", bytes(16 * 1024 + 1), Code.TOO_LARGE),
    ],
)
def test_parts_of_an_account_have_forms_and_sizes(
    acme: Enterprise, field: str, value: object, code: str
) -> None:
    """Before anything is stored."""
    good = account_of(acme)
    fields = {name: getattr(good, name) for name in good.__struct_fields__}

    assert code_of(NewAccount(**(fields | {field: value})), *acme.statements) == code
