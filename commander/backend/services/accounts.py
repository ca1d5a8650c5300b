"""What set-up and acceptance check alike of a new account."""

from __future__ import annotations

from commander.authority.email import is_normal_email
from commander.authority.refusals import Code
from commander.authority.statements import Device, Kind, User
from commander.backend.limits import ACCOUNT_BLOB
from commander.backend.services.apply_commit import Author
from commander.backend.services.draft import need_size
from commander.crypto.signing import VerifyKey
from commander.errors import InvalidInput, Refused
from commander.wire.calls import Commit, NewAccount


def check_account(account: NewAccount) -> None:
    """Check forms and sizes. Raises Refused."""
    if not is_normal_email(account.email):
        raise Refused("the e-mail is not in its normal form", code=Code.REQUEST_MALFORMED)
    try:
        VerifyKey(account.login_key)
    except (InvalidInput, ValueError):
        raise Refused("the login key is malformed", code=Code.REQUEST_MALFORMED) from None
    need_size(account.wrapped_data_key, ACCOUNT_BLOB, "the wrapped data key", least=1)
    need_size(account.wrapped_identity, ACCOUNT_BLOB, "the wrapped identity", least=1)


def read_author(account: NewAccount, commit: Commit) -> Author:
    """
    The user and the one device that a first commit introduces.

    Raises Refused when it does not introduce exactly this account's user and one device of it.
    """
    bodies = [statement.parse_body() for statement in commit.statements]
    users = [body for body in bodies if isinstance(body, User)]
    devices = [body for body in bodies if isinstance(body, Device)]
    if [(user.user, user.email) for user in users] != [(account.user, account.email)]:
        raise Refused("the commit does not state the account's user", code=Code.REQUEST_MALFORMED)
    if [device.user for device in devices] != [account.user]:
        raise Refused(
            f"the commit does not state one {Kind.DEVICE} of the user", code=Code.REQUEST_MALFORMED
        )
    return Author(account.user, devices[0].device, devices[0].sign_key)
