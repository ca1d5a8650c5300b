"""
Every error the product raises on purpose, branched by what the caller does next.

    CommanderError            exit 1, code "failed"      read the message
      UsageError              exit 2, "usage"            fix what was typed
      NotFound                exit 3, "not-found"        name something that exists
      NotAllowed              exit 4, "not-allowed"      ask for the right
        Refused               exit 4, its own code       the same, decided by server or gateway
      NotLoggedIn             exit 5, "not-logged-in"    log in
      Unreachable             exit 6, "unreachable"      wait, or repair the network
      Conflict                exit 7, "conflict"         choose another name or port, or sync and try again
      TimedOut                exit 8, "timed-out"        try again
      ApprovalPending         exit 9, "approval-pending" wait for an approver
      Interrupted             exit 130, "interrupted"    nothing: the user stopped it
      Tampered                exit 1, "tampered"         stop and tell an administrator
      InvalidInput            exit 2, "invalid"          bytes or values from outside that break a format
      SealBroken              exit 1, "seal-broken"      a ciphertext or signature that does not verify

A message is lower case and names the value, the reason and, in `hint`, the way out.
Secrets are never part of a message. Crypto failures say nothing about which step failed.
"""

from __future__ import annotations

from typing import ClassVar


class CommanderError(Exception):
    """Base of all errors raised on purpose; `hint` tells the user what to type next."""

    exit_code: ClassVar[int] = 1
    default_code: ClassVar[str] = "failed"

    def __init__(self, message: str, *, hint: str = "", code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code or self.default_code

    def __str__(self) -> str:
        return self.message


class UsageError(CommanderError):
    """What was typed cannot be understood."""

    exit_code = 2
    default_code = "usage"


class InvalidInput(CommanderError):
    """Bytes or values from outside break their format or a limit."""

    exit_code = 2
    default_code = "invalid"


class NotFound(CommanderError):
    """Nothing of that name exists, or the caller may not know that it does."""

    exit_code = 3
    default_code = "not-found"


class NotAllowed(CommanderError):
    """The caller lacks a right."""

    exit_code = 4
    default_code = "not-allowed"


class Refused(NotAllowed):
    """Server or gateway refused, with a code from `authority.refusals`."""

    default_code = "refused"


class NotLoggedIn(CommanderError):
    """No unlocked session; `login` makes one."""

    exit_code = 5
    default_code = "not-logged-in"


class Unreachable(CommanderError):
    """Server, gateway or target does not answer."""

    exit_code = 6
    default_code = "unreachable"


class Conflict(CommanderError):
    """A name or port is taken, or something changed meanwhile."""

    exit_code = 7
    default_code = "conflict"


class TimedOut(CommanderError):
    """A wait ended at its deadline."""

    exit_code = 8
    default_code = "timed-out"


class ApprovalPending(CommanderError):
    """The request waits for an approver."""

    exit_code = 9
    default_code = "approval-pending"


class Interrupted(CommanderError):
    """The user or a signal stopped the work."""

    exit_code = 130
    default_code = "interrupted"


class Tampered(CommanderError):
    """Signed or pinned data does not agree with what was seen before: stop, and say so loudly."""

    default_code = "tampered"


class SealBroken(CommanderError):
    """A ciphertext, signature or MAC does not verify; deliberately without the reason."""

    default_code = "seal-broken"

    def __init__(self, message: str = "seal does not verify") -> None:
        super().__init__(message)


BY_CODE: dict[str, type[CommanderError]] = {
    kind.default_code: kind
    for kind in (
        CommanderError, UsageError, InvalidInput, NotFound, NotAllowed, Refused, NotLoggedIn,
        Unreachable, Conflict, TimedOut, ApprovalPending, Interrupted, Tampered,
    )
}  # fmt: skip
