"""
Every refusal code, who says it, and what it means: the published table (docs/refusal-codes.md).

A code never changes its meaning; new ones are added. `gateway`, `server`, `client` name who may
answer with it.
"""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """Refusal codes; the value is what travels and what a user sees."""

    # Commands at the gateway, in the order they are checked.
    COMMAND_MALFORMED = "command-malformed"
    COMMAND_NOT_FOR_ME = "command-not-for-me"
    COMMAND_UNKNOWN_ACTION = "command-unknown-action"
    DEVICE_UNKNOWN = "device-unknown"
    DEVICE_REVOKED = "device-revoked"
    SIGNATURE_BROKEN = "signature-broken"
    LOG_BEHIND = "log-behind"
    LOG_FORKED = "log-forked"
    COMMAND_EXPIRED = "command-expired"
    COMMAND_BEFORE_START = "command-before-start"
    COMMAND_REPLAYED = "command-replayed"
    # What `decide` answers.
    USER_UNKNOWN = "user-unknown"
    USER_REVOKED = "user-revoked"
    POLICY_MISSING = "policy-missing"
    ACCESS_MISSING = "access-missing"
    ACCESS_NOT_YET = "access-not-yet"
    ACCESS_EXPIRED = "access-expired"
    RIGHT_MISSING = "right-missing"
    NOT_ADMINISTRATOR = "not-administrator"
    NOT_OWNER = "not-owner"
    OBJECT_UNKNOWN = "object-unknown"
    OBJECT_REVOKED = "object-revoked"
    # Records and settings at the gateway.
    RECORD_UNKNOWN = "record-unknown"
    RECORDS_UNAVAILABLE = "records-unavailable"
    RECORD_BEHIND = "record-behind"
    RECORD_TAMPERED = "record-tampered"
    SETTINGS_TAMPERED = "settings-tampered"
    SETTINGS_MISSING = "settings-missing"
    CONFIGURATION_MISSING = "configuration-missing"
    CONFIGURATION_OTHER_GATEWAY = "configuration-other-gateway"
    TUNNELING_OFF = "tunneling-off"
    TUNNEL_DISABLED = "tunnel-disabled"
    LINK_NOT_ALLOWED = "link-not-allowed"
    TARGET_OVERRIDE = "target-override-not-allowed"
    TARGET_INVALID = "target-invalid"
    TARGET_FORBIDDEN = "target-forbidden"
    OFFER_BROKEN = "offer-broken"
    PATH_FORBIDDEN = "path-forbidden"
    CONVERSATION_UNKNOWN = "conversation-unknown"
    LIMIT_REACHED = "limit-reached"
    GATEWAY_STOPPING = "gateway-stopping"
    AUDIT_UNAVAILABLE = "audit-unavailable"
    # Statements.
    STATEMENT_MALFORMED = "statement-malformed"
    STATEMENT_CHAIN = "statement-chain"
    STATEMENT_NOT_ENTITLED = "statement-not-entitled"
    STATEMENT_DUPLICATE = "statement-duplicate"
    VOUCHER_EXPIRED = "voucher-expired"
    VOUCHER_USED = "voucher-used"
    VOUCHER_MISMATCH = "voucher-mismatch"
    # Seals (records, settings, folders, key grants).
    SEAL_BROKEN = "seal-broken"
    SEAL_REVISION = "seal-revision"
    SEAL_AUTHOR = "seal-author"
    # Server.
    REQUEST_MALFORMED = "request-malformed"
    REQUEST_SIGNATURE = "request-signature"
    REQUEST_STALE = "request-stale"
    REQUEST_REPLAYED = "request-replayed"
    SESSION_UNKNOWN = "session-unknown"
    SESSION_EXPIRED = "session-expired"
    LOGIN_FAILED = "login-failed"
    LOGIN_DELAYED = "login-delayed"
    SETUP_USED = "setup-used"
    SETUP_WRONG = "setup-wrong"
    TOKEN_UNKNOWN = "token-unknown"  # noqa: S105  a code, not a token
    TOKEN_USED = "token-used"  # noqa: S105  a code, not a token
    TOKEN_EXPIRED = "token-expired"  # noqa: S105  a code, not a token
    TOKEN_ADDRESS = "token-address"  # noqa: S105  a code, not a token
    LOG_MOVED = "log-moved"
    REVISION_CONFLICT = "revision-conflict"
    TOO_MANY_REQUESTS = "too-many-requests"
    TOO_LARGE = "too-large"
    STORE_UNAVAILABLE = "store-unavailable"
    # Router.
    GATEWAY_OFFLINE = "gateway-offline"
    PEER_UNKNOWN = "peer-unknown"
    FENCED = "fenced"
    # Conversation.
    HELLO_BROKEN = "hello-broken"
    REVOKED_MEANWHILE = "revoked-meanwhile"


EXPLANATIONS: dict[Code, tuple[str, str]] = {
    Code.COMMAND_MALFORMED: (
        "gateway",
        "the command does not open, is too large or breaks its schema",
    ),
    Code.COMMAND_NOT_FOR_ME: ("gateway", "the command names another gateway"),
    Code.COMMAND_UNKNOWN_ACTION: ("gateway", "the command's action or version is not known"),
    Code.DEVICE_UNKNOWN: ("gateway, server", "no certificate for the device in the authority log"),
    Code.DEVICE_REVOKED: ("gateway, server", "the device was revoked"),
    Code.SIGNATURE_BROKEN: ("gateway", "the device's signature does not verify"),
    Code.LOG_BEHIND: ("gateway", "the command saw a log position the gateway cannot reach"),
    Code.LOG_FORKED: (
        "gateway, client",
        "the log differs from the one seen before: server rolled back or forked",
    ),
    Code.COMMAND_EXPIRED: (
        "gateway",
        "issued more than 60 s ago or in the future; check both clocks",
    ),
    Code.COMMAND_BEFORE_START: (
        "gateway",
        "issued before the gateway started; the client signs again",
    ),
    Code.COMMAND_REPLAYED: ("gateway", "the nonce was used before"),
    Code.USER_UNKNOWN: ("gateway, server", "no such user in the authority log"),
    Code.USER_REVOKED: ("gateway, server", "the user was removed"),
    Code.POLICY_MISSING: ("gateway, server", "no role of the user grants the enforcement policy"),
    Code.ACCESS_MISSING: ("gateway, server", "the folder is not shared with the principal"),
    Code.ACCESS_NOT_YET: ("gateway, server", "the share begins later"),
    Code.ACCESS_EXPIRED: ("gateway, server", "the share has ended"),
    Code.RIGHT_MISSING: ("gateway, server", "the share does not include the right"),
    Code.NOT_ADMINISTRATOR: ("gateway, server", "only an administrator may do this"),
    Code.NOT_OWNER: ("gateway, server", "only the owner may do this"),
    Code.OBJECT_UNKNOWN: ("gateway, server", "nothing of that UID in the authority log"),
    Code.OBJECT_REVOKED: ("gateway, server", "it was removed"),
    Code.RECORD_UNKNOWN: ("gateway", "the record is not shared with the gateway's application"),
    Code.RECORDS_UNAVAILABLE: (
        "gateway",
        "the gateway does not reach its server, and so cannot read the record now",
    ),
    Code.RECORD_BEHIND: (
        "gateway",
        "the server gives the gateway an older revision than the client has",
    ),
    Code.RECORD_TAMPERED: (
        "gateway, client",
        "a record's seal, chain, key or author does not hold",
    ),
    Code.SETTINGS_TAMPERED: (
        "gateway, client",
        "the PAM settings' seal, chain or author does not hold",
    ),
    Code.SETTINGS_MISSING: ("gateway", "the record has no PAM settings"),
    Code.CONFIGURATION_MISSING: (
        "gateway",
        "the record's PAM configuration is not readable by the gateway",
    ),
    Code.CONFIGURATION_OTHER_GATEWAY: (
        "gateway",
        "the PAM configuration belongs to another gateway",
    ),
    Code.TUNNELING_OFF: ("gateway", "the PAM configuration has tunneling off"),
    Code.TUNNEL_DISABLED: ("gateway", "the record has tunneling disabled"),
    Code.LINK_NOT_ALLOWED: (
        "gateway, client",
        "the settings link a credential their author may not use",
    ),
    Code.TARGET_OVERRIDE: ("gateway", "the record does not allow another host or port"),
    Code.TARGET_INVALID: ("gateway", "host or port of the record is not valid"),
    Code.TARGET_FORBIDDEN: (
        "gateway",
        "the address is link-local, metadata or the gateway's own loopback",
    ),
    Code.OFFER_BROKEN: ("gateway", "the offer does not open under the conversation's keys"),
    Code.PATH_FORBIDDEN: ("gateway", "none of the offered kinds of path is allowed"),
    Code.CONVERSATION_UNKNOWN: (
        "gateway",
        "no such tunnel of this device and record is open here: it has ended, or the gateway was restarted",
    ),
    Code.LIMIT_REACHED: ("gateway", "too many tunnels or commands of this user or gateway"),
    Code.GATEWAY_STOPPING: ("gateway", "the gateway is shutting down"),
    Code.AUDIT_UNAVAILABLE: ("gateway", "the intent could not be written to the audit log"),
    Code.STATEMENT_MALFORMED: ("server, client, gateway", "a statement breaks its schema"),
    Code.STATEMENT_CHAIN: ("server, client, gateway", "a statement does not follow the head"),
    Code.STATEMENT_NOT_ENTITLED: (
        "server, client, gateway",
        "the signer may not make this statement",
    ),
    Code.STATEMENT_DUPLICATE: ("server, client, gateway", "the UID, name or e-mail is taken"),
    Code.VOUCHER_EXPIRED: ("server, client, gateway", "the invitation or token is too old"),
    Code.VOUCHER_USED: ("server, client, gateway", "the invitation or token was used before"),
    Code.VOUCHER_MISMATCH: (
        "server, client, gateway",
        "the statement is not what the voucher is for",
    ),
    Code.SEAL_BROKEN: ("server, client, gateway", "a seal's hash or signature does not verify"),
    Code.SEAL_REVISION: ("server, client, gateway", "a revision does not follow the one before"),
    Code.SEAL_AUTHOR: ("server, client, gateway", "the author had no right to write this"),
    Code.REQUEST_MALFORMED: ("server", "a request does not open or breaks its schema"),
    Code.REQUEST_SIGNATURE: ("server", "the device's signature of a request does not verify"),
    Code.REQUEST_STALE: ("server", "a request's time is more than 120 s off; check the clock"),
    Code.REQUEST_REPLAYED: ("server", "a request was sent twice"),
    Code.SESSION_UNKNOWN: ("server", "no such session; log in"),
    Code.SESSION_EXPIRED: ("server", "the session ended; log in"),
    Code.LOGIN_FAILED: ("server", "e-mail, password or account secret is wrong"),
    Code.LOGIN_DELAYED: ("server", "too many failed logins; wait as told"),
    Code.SETUP_USED: ("server", "the set-up join string was used before"),
    Code.SETUP_WRONG: ("server", "not the set-up join string of this server"),
    Code.TOKEN_UNKNOWN: ("server", "no such one-time token"),
    Code.TOKEN_USED: ("server", "the one-time token was used before"),
    Code.TOKEN_EXPIRED: ("server", "the one-time token is too old"),
    Code.TOKEN_ADDRESS: ("server", "the one-time token or client is locked to another address"),
    Code.LOG_MOVED: ("server", "the log moved on meanwhile; sync and sign again"),
    Code.REVISION_CONFLICT: ("server", "the object changed meanwhile; sync and try again"),
    Code.TOO_MANY_REQUESTS: ("server", "slow down as told"),
    Code.TOO_LARGE: ("server", "a body or field is over its limit"),
    Code.STORE_UNAVAILABLE: ("server, gateway", "its disk cannot be written now"),
    Code.GATEWAY_OFFLINE: ("server", "the gateway is not connected"),
    Code.PEER_UNKNOWN: ("server", "the addressee is not connected, or may not be addressed"),
    Code.FENCED: ("server", "another process connected with the same identity"),
    Code.HELLO_BROKEN: ("client, gateway", "the peer could not prove the conversation's keys"),
    Code.REVOKED_MEANWHILE: ("gateway", "a right this tunnel needs has ended"),
}
