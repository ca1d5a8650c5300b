"""
Every way a tunnel ends or does not come to be: what is said, what to type next, the exit code.

One table for the session's notices, the foreground, `tail` and `list`, so that the same end reads
the same everywhere. Pure. A code is a close code's label, a code of `authority.refusals`, or one
of `LOCAL`, causes that only this machine sees.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from commander.authority.refusals import EXPLANATIONS, Code
from commander.tunnel.codes import CloseCode

DONE, FAILED, NOT_FOUND, NOT_ALLOWED, NOT_LOGGED_IN = 0, 1, 3, 4, 5
UNREACHABLE, CONFLICT, TIMED_OUT = 6, 7, 8
HOST_LOST = "host-lost"

_AGAIN = "pam tunnel start {record}"
_DIAGNOSE = "pam tunnel diagnose {record}"
_ASK_OWNER = "ask the owner of the record or an administrator"
_ASK_ADMINISTRATOR = "ask an administrator"
_TELL = "do not go on; tell an administrator"
_LOG_IN = "log in: commander login"
_EDIT = "pam tunnel edit {record} {words}"
_SYNC = "sync-down, then " + _AGAIN


@dataclass(frozen=True)
class Ending:
    """An end as a person is told it; `hint` is what to type next, empty when nothing has to be done."""

    code: str
    sentence: str
    hint: str
    exit_code: int

    @property
    def is_clean(self) -> bool:
        """Whether the user, or what the user chose, ended it."""
        return self.exit_code == DONE


_CLOSES: dict[CloseCode, tuple[str, str, int]] = {
    CloseCode.OTHER: ("it ended for a reason this version does not know", _DIAGNOSE, FAILED),
    CloseCode.STOPPED: ("it was stopped", "", DONE),
    CloseCode.GOING_AWAY: (
        "the process at one end shut down",
        "when the gateway is back (pam gateway list): " + _AGAIN,
        UNREACHABLE,
    ),
    CloseCode.PROTOCOL_ERROR: (
        "one end broke the rules of the tunnel, or somebody between altered it",
        "check that both programs are of the same version; then " + _AGAIN,
        FAILED,
    ),
    CloseCode.HELLO_FAILED: (
        "no path came up on which both ends could prove themselves",
        _DIAGNOSE,
        UNREACHABLE,
    ),
    CloseCode.PATH_LOST: ("the connection to the gateway was lost", _DIAGNOSE, UNREACHABLE),
    CloseCode.IDLE: ("nobody used it for the time that was set", _AGAIN, DONE),
    CloseCode.EXPIRED: ("the share of the record ended", _ASK_OWNER, NOT_ALLOWED),
    CloseCode.REVOKED: ("a right it needs was taken away", _ASK_OWNER, NOT_ALLOWED),
    CloseCode.LIMIT: (
        "one end reached a limit",
        "close connections or tunnels (pam tunnel list), then " + _AGAIN,
        FAILED,
    ),
    CloseCode.INTERNAL: (
        "one end failed; this is a bug",
        "look at both logs; then " + _AGAIN,
        FAILED,
    ),
}

LOCAL: dict[str, tuple[str, str, int]] = {
    HOST_LOST: (
        "the process that held it is gone, without having said why",
        _AGAIN + " --background",
        UNREACHABLE,
    ),
    "timed-out": ("it did not come up in time", _DIAGNOSE, TIMED_OUT),
    "unreachable": ("server or gateway cannot be reached", _DIAGNOSE, UNREACHABLE),
    "not-logged-in": ("nobody is logged in", _LOG_IN, NOT_LOGGED_IN),
    "conflict": ("the local port is taken", _AGAIN + " without --port takes a free one", CONFLICT),
    "tampered": ("somebody between altered what was sent", _TELL, FAILED),
    "tunnel-protocol": ("the far end does not follow the tunnel's rules", _TELL, FAILED),
    "failed": ("the gateway failed; this is a bug", "look at the gateway's log", FAILED),
}

# What each refusal leaves to do; the sentence is the published one. Grouped by who can act.
_REFUSALS: dict[Code, tuple[str, int]] = {
    **dict.fromkeys(
        (
            Code.USER_UNKNOWN, Code.USER_REVOKED, Code.NOT_ADMINISTRATOR, Code.STATEMENT_NOT_ENTITLED,
            Code.DEVICE_REVOKED, Code.TOKEN_ADDRESS,
        ),
        (_ASK_ADMINISTRATOR, NOT_ALLOWED),
    ),
    **dict.fromkeys(
        (
            Code.ACCESS_MISSING, Code.ACCESS_NOT_YET, Code.ACCESS_EXPIRED, Code.RIGHT_MISSING,
            Code.NOT_OWNER, Code.REVOKED_MEANWHILE, Code.LINK_NOT_ALLOWED, Code.SEAL_AUTHOR,
        ),
        (_ASK_OWNER, NOT_ALLOWED),
    ),
    **dict.fromkeys(
        (
            Code.LOG_FORKED, Code.RECORD_TAMPERED, Code.SETTINGS_TAMPERED, Code.SEAL_BROKEN,
            Code.SEAL_REVISION, Code.STATEMENT_CHAIN, Code.STATEMENT_MALFORMED, Code.HELLO_BROKEN,
            Code.VOUCHER_MISMATCH,
        ),
        (_TELL, FAILED),
    ),
    **dict.fromkeys(
        (Code.LOG_BEHIND, Code.RECORD_BEHIND, Code.COMMAND_BEFORE_START, Code.LOG_MOVED),
        (_AGAIN, NOT_ALLOWED),
    ),
    **dict.fromkeys((Code.OBJECT_UNKNOWN, Code.OBJECT_REVOKED), (_SYNC, NOT_FOUND)),
    **dict.fromkeys(
        (
            Code.COMMAND_MALFORMED, Code.COMMAND_NOT_FOR_ME, Code.COMMAND_REPLAYED,
            Code.SIGNATURE_BROKEN, Code.OFFER_BROKEN, Code.REQUEST_MALFORMED,
            Code.REQUEST_SIGNATURE, Code.REQUEST_REPLAYED, Code.TOO_LARGE,
        ),
        ("try again; if it stays, compare the versions of client, server and gateway", FAILED),
    ),
    **dict.fromkeys(
        (Code.SESSION_UNKNOWN, Code.SESSION_EXPIRED, Code.LOGIN_FAILED, Code.DEVICE_UNKNOWN),
        (_LOG_IN, NOT_LOGGED_IN),
    ),
    **dict.fromkeys(
        (Code.COMMAND_EXPIRED, Code.REQUEST_STALE),
        ("set the clock of this machine (and of the gateway); " + _DIAGNOSE, NOT_ALLOWED),
    ),
    **dict.fromkeys(
        (
            Code.SETUP_USED, Code.SETUP_WRONG, Code.TOKEN_UNKNOWN, Code.TOKEN_USED,
            Code.TOKEN_EXPIRED, Code.VOUCHER_USED, Code.VOUCHER_EXPIRED,
        ),
        ("ask for a new join string", NOT_ALLOWED),
    ),
    **dict.fromkeys(
        (Code.STATEMENT_DUPLICATE, Code.REVISION_CONFLICT), ("sync-down, then try again", CONFLICT)
    ),
    **dict.fromkeys(
        (Code.LOGIN_DELAYED, Code.TOO_MANY_REQUESTS), ("wait a minute, then try again", UNREACHABLE)
    ),
    Code.COMMAND_UNKNOWN_ACTION: ("bring the gateway to this version", NOT_ALLOWED),
    Code.POLICY_MISSING: (
        "an administrator can grant it: enterprise-role NAME --enforcement "
        "ALLOW_LAUNCH_PAM_TUNNELS:true",
        NOT_ALLOWED,
    ),
    Code.RECORD_UNKNOWN: (
        "share the record's folder with the gateway's application: secrets-manager share add",
        NOT_FOUND,
    ),
    Code.SETTINGS_MISSING: (
        _EDIT.replace("{words}", "--enable-tunneling --configuration NAME"), NOT_ALLOWED
    ),
    Code.CONFIGURATION_MISSING: (
        _EDIT.replace("{words}", "--configuration NAME; pam config list shows them"), NOT_ALLOWED
    ),
    Code.CONFIGURATION_OTHER_GATEWAY: (
        "pam config edit NAME --gateway GATEWAY, or " + _EDIT.replace("{words}", "--configuration NAME"),
        NOT_ALLOWED,
    ),
    Code.TUNNELING_OFF: ("pam config edit NAME --tunneling on", NOT_ALLOWED),
    Code.TUNNEL_DISABLED: (_EDIT.replace("{words}", "--enable-tunneling"), NOT_ALLOWED),
    Code.TARGET_OVERRIDE: (_EDIT.replace("{words}", "--allow-supply-host on"), NOT_ALLOWED),
    Code.TARGET_INVALID: ("correct host and port: record-update {record}", NOT_ALLOWED),
    Code.TARGET_FORBIDDEN: (
        "the gateway's owner can allow it: gateway start --allow-target CIDR", NOT_ALLOWED
    ),
    Code.PATH_FORBIDDEN: (_AGAIN + " --path auto", NOT_ALLOWED),
    Code.RECORDS_UNAVAILABLE: ("look at the gateway's log; then " + _AGAIN, NOT_ALLOWED),
    Code.CONVERSATION_UNKNOWN: (_AGAIN, UNREACHABLE),
    Code.LIMIT_REACHED: ("stop tunnels (pam tunnel list), or wait a minute", NOT_ALLOWED),
    Code.GATEWAY_STOPPING: ("wait until it is back: " + _AGAIN + " --wait", NOT_ALLOWED),
    Code.AUDIT_UNAVAILABLE: ("make room on the gateway's disk", NOT_ALLOWED),
    Code.STORE_UNAVAILABLE: ("make room on the server's disk", UNREACHABLE),
    Code.GATEWAY_OFFLINE: (
        "start the gateway: gateway start; pam gateway list shows which are online", UNREACHABLE
    ),
    Code.PEER_UNKNOWN: ("pam gateway list shows which gateways you may use", UNREACHABLE),
    Code.FENCED: ("end the other process that uses the same configuration", CONFLICT),
}  # fmt: skip


def explain_end(code: CloseCode | str, reason: str = "", *, record: str = "") -> Ending:
    """
    Say why a tunnel ended, or was refused, and what to type next.

    `reason` is what the engine or the peer said; it follows the sentence when it adds something.
    `record` is the title that goes into the commands of the hint. A code that this version does
    not know is named as it is.
    """
    label = code.label if isinstance(code, CloseCode) else code
    sentence, hint, exit_code = _find(label)
    if reason and reason != label and reason not in sentence:
        sentence = f"{sentence}: {reason}"
    name = shlex.quote(record) if record else "RECORD"
    return Ending(label, sentence, hint.replace("{record}", name), exit_code)


def _find(label: str) -> tuple[str, str, int]:
    close = next((known for known in CloseCode if known.label == label), None)
    if close is not None:
        return _CLOSES[close]
    if label in LOCAL:
        return LOCAL[label]
    try:
        known = Code(label)
    except ValueError:
        return f"it ended with code {label[:60]!r}", _DIAGNOSE, FAILED
    return (EXPLANATIONS[known][1], *_REFUSALS.get(known, (_DIAGNOSE, NOT_ALLOWED)))
