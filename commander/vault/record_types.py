"""
Record types, their fields, and how a field's value is read from text. Pure.

The names are those that Secret Manager SDKs and exports use. A type's list is what forms and
`record-add` offer; records may hold more, and what is unknown is kept as it is.
"""

from __future__ import annotations

import ipaddress
import json
import re
import secrets
import string
from dataclasses import dataclass
from typing import Any

from commander.errors import InvalidInput
from commander.wire.records import Field, RecordData, parse_port, parse_record

MAX_TITLE = 256
MAX_TEXT = 64 * 1024
MAX_HOST = 253
DATABASE_TYPES = ("mysql", "postgresql", "mssql", "mongodb", "mariadb", "oracle")
DIRECTORY_TYPES = ("Active Directory", "OpenLDAP")
_HOST = re.compile(
    r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\Z", re.ASCII
)
_SECRET_TYPES = frozenset({"password", "secret", "oneTimeCode", "pinCode", "keyPair", "otp"})
_SECRET_NAME = re.compile(r"passw|secret|passphrase|private ?key|token", re.IGNORECASE)
_TYPE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}\Z", re.ASCII)
_GENERATE = re.compile(r"rand(?:,([0-9]{1,4}))?\Z", re.ASCII)
DEFAULT_LENGTH = 20
LENGTHS = (8, 1024)
_SYMBOLS = "!@#$%^&*()-_=+[]{};:,.?"
_CLASSES = (string.ascii_lowercase, string.ascii_uppercase, string.digits, _SYMBOLS)


@dataclass(frozen=True)
class FieldSpec:
    """A field of a record type."""

    type: str
    label: str = ""

    @property
    def name(self) -> str:
        """How it is written in `record-add`."""
        return f"{self.type}.{self.label}" if self.label else self.type

    @property
    def is_secret(self) -> bool:
        """Whether its value is masked."""
        return is_secret_type(self.type)


@dataclass(frozen=True)
class RecordType:
    """A type of record."""

    name: str
    summary: str
    fields: tuple[FieldSpec, ...]


def _specs(*names: str) -> tuple[FieldSpec, ...]:
    return tuple(FieldSpec(*name.split(".", 1)) for name in names)


_PROVIDER = ("text.providerGroup", "text.providerRegion")
RECORD_TYPES: dict[str, RecordType] = {
    kind.name: kind
    for kind in (
        RecordType("login", "a login to anything", _specs("login", "password", "url", "oneTimeCode")),
        RecordType(
            "pamMachine",
            "a machine reached through a gateway",
            _specs(
                "pamHostname", "text.operatingSystem", "checkbox.sslVerification",
                "text.instanceName", "text.instanceId", *_PROVIDER,
            ),
        ),
        RecordType(
            "pamDatabase",
            "a database reached through a gateway",
            _specs(
                "pamHostname", "checkbox.useSSL", "text.connectDatabase", "text.databaseId",
                "databaseType", *_PROVIDER,
            ),
        ),
        RecordType(
            "pamDirectory",
            "a directory reached through a gateway",
            _specs(
                "pamHostname", "checkbox.useSSL", "multiline.alternativeIPs", "text.directoryId",
                "directoryType", "text.userMatch", "text.domainName", *_PROVIDER,
            ),
        ),
        RecordType(
            "pamUser",
            "a user on a machine, database or directory",
            _specs(
                "login", "password", "secret.privatePEMKey", "text.distinguishedName",
                "text.connectDatabase", "checkbox.managed",
            ),
        ),
        RecordType("pamRemoteBrowser", "a web page opened by a gateway", _specs("rbiUrl")),
        RecordType(
            "pamNetworkConfiguration",
            "a PAM configuration of a network (made by pam config new)",
            _specs("text.networkId", "multiline.networkCIDR"),
        ),
        RecordType(
            "databaseCredentials", "a login to a database",
            _specs("text.type", "host", "login", "password"),
        ),
        RecordType("serverCredentials", "a login to a server", _specs("host", "login", "password")),
        RecordType(
            "sshKeys", "an SSH key", _specs("login", "keyPair", "password.passphrase", "host")
        ),
        RecordType("encryptedNotes", "a note", _specs("note", "date")),
    )
}  # fmt: skip
_CHOICES = {"databaseType": DATABASE_TYPES, "directoryType": DIRECTORY_TYPES}
_KNOWN_TYPES = frozenset(
    {spec.type for kind in RECORD_TYPES.values() for spec in kind.fields}
    | {
        "text",
        "multiline",
        "url",
        "email",
        "phone",
        "secret",
        "pinCode",
        "note",
        "date",
        "checkbox",
        "file",
        "fileRef",
    }
)


def find_type(name: str) -> RecordType:
    """A record type by name, in any case. Raises InvalidInput naming the known ones."""
    for kind in RECORD_TYPES.values():
        if kind.name.casefold() == name.casefold():
            return kind
    raise InvalidInput(
        f"{name[:60]!r} is not a record type", hint=f"one of {', '.join(RECORD_TYPES)}"
    )


def is_secret_type(field_type: str) -> bool:
    """Whether values of a field type are masked."""
    return field_type in _SECRET_TYPES


def is_secret_field(field: Field) -> bool:
    """
    Whether a field of a record is masked: by its type, its own `privacyScreen`, or a name that
    says so, since a field may come from a program that knows more types.
    """
    if is_secret_type(str(field.get("type"))) or field.get("privacyScreen") is True:
        return True
    return bool(_SECRET_NAME.search(f"{field.get('type')} {field.get('label', '')}"))


@dataclass(frozen=True)
class Assignment:
    """One `[f.|c.]type[.label]=value` as written; `section` is "f", "c" or "" for either."""

    section: str
    type: str
    label: str
    value: str

    @property
    def is_secret(self) -> bool:
        """Whether the value is one that does not belong on a command line."""
        return is_secret_type(self.type) and bool(self.value) and not self.value.startswith("$GEN")


def parse_assignment(text: str) -> Assignment:
    """
    Read `[f.|c.]type[.label]=value`; `==` before the value stands for `=` in the label.

    Raises InvalidInput that names the field, never the value.
    """
    parts = re.split(r"(?<!=)=(?!=)", text, maxsplit=1)
    if len(parts) != 2:
        shown = text.partition("=")[0][:60]
        raise InvalidInput(f"{shown!r} is not FIELD=VALUE", hint="for example: login=app")
    name, value = parts[0].replace("==", "="), parts[1]
    section = ""
    if name[:2] in ("f.", "c."):
        section, name = name[0], name[2:]
    field_type, _, label = name.partition(".")
    if not _TYPE_NAME.match(field_type) or len(label) > 128 or not label.isprintable():
        raise InvalidInput(
            f"{parts[0][:60]!r} is not a field", hint="write [f.|c.]type[.label]=value"
        )
    if len(value) > MAX_TEXT:
        raise InvalidInput(f"the value of {name[:60]} is longer than {MAX_TEXT} characters")
    return Assignment(section, field_type, label, value)


def resolve(kind: RecordType, given: Assignment, *, force: bool) -> Assignment:
    """
    Find the field that is meant: `operatingSystem=x` is `text.operatingSystem=x` in a pamMachine.

    Raises InvalidInput for a field type nobody knows, unless `force`.
    """
    if given.section == "c":
        return given
    if not given.label:
        for spec in kind.fields:
            if spec.label and spec.label.casefold() == given.type.casefold():
                return Assignment("f", spec.type, spec.label, given.value)
    for spec in kind.fields:
        if spec.type == given.type and (not given.label or spec.label == given.label):
            return Assignment("f", spec.type, given.label or spec.label, given.value)
    if given.type not in _KNOWN_TYPES and not force:
        names = ", ".join(spec.name for spec in kind.fields)
        raise InvalidInput(
            f"{given.type[:60]!r} is not a field of {kind.name}",
            hint=f"its fields are {names}; -f keeps an unknown one",
        )
    if given.section == "f" and not force:
        raise InvalidInput(
            f"{kind.name} has no standard field {given.type}", hint="write c. for it"
        )
    return Assignment("c", given.type, given.label, given.value)


def read_value(given: Assignment) -> Any:
    """
    The JSON value of a field, or None to remove it.

    Raises InvalidInput for a host, port, choice or JSON that is not valid.
    """
    text = given.value
    if text == "":
        return None
    if text.startswith("$JSON:"):
        return _checked(given.type, _json(given.type, text[6:]))
    if text == "$GEN" or text.startswith("$GEN:"):
        return generate_password(text[5:])
    if given.type in ("pamHostname", "host"):
        return _host_value(text)
    if given.type == "checkbox":
        return _boolean(text)
    if given.type in _CHOICES:
        return _choice(given.type, text)
    if given.type in ("file", "fileRef"):
        raise InvalidInput(
            f"{given.type} is no field to type in", hint="file=@PATH attaches a file"
        )
    return text


def _json(field_type: str, text: str) -> Any:
    try:
        value = json.loads(text, parse_constant=_no_constant)
        # The record's own parser is the judge of depth, sizes and numbers.
        field = {"type": field_type, "value": [value]}
        parse_record(json.dumps({"title": "", "type": "", "fields": [field]}).encode())
    except (ValueError, RecursionError, InvalidInput):
        raise InvalidInput(f"the $JSON value of {field_type} is not valid JSON") from None
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _checked(field_type: str, value: Any) -> Any:
    if field_type not in ("pamHostname", "host"):
        return value
    if not isinstance(value, dict) or not isinstance(value.get("hostName"), str):
        raise InvalidInput(f'{field_type} needs {{"hostName": "...", "port": "..."}}')
    host = check_host(value["hostName"])
    port = value.get("port", "")
    return {**value, "hostName": host, "port": str(parse_port(port)) if port != "" else ""}


def _host_value(text: str) -> dict[str, str]:
    host, port = split_host_port(text)
    return {"hostName": host, "port": str(port) if port else ""}


def split_host_port(text: str) -> tuple[str, int]:
    """`host`, `host:port`, `[v6]:port` or a bare IPv6 address; port 0 when there is none."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise InvalidInput(f"{text[:80]!r} is not a host", hint="write [::1]:22")
        return check_host(host), parse_port(rest[1:]) if rest else 0
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        return check_host(host), parse_port(port)
    return check_host(text), 0


def check_host(host: str) -> str:
    """
    Return a host name or address that is well-formed ASCII. Raises InvalidInput.

    Which addresses may be reached is the gateway's to say, on the resolved address.
    """
    if ":" in host:
        try:
            return ipaddress.IPv6Address(host).compressed
        except ValueError:
            raise _bad_host(host) from None
    if len(host) > MAX_HOST or not _HOST.match(host):
        raise _bad_host(host)
    return host


def _bad_host(host: str) -> InvalidInput:
    return InvalidInput(
        f"{host[:80]!r} is not a host name or address",
        hint="letters, digits, dots and dashes; international names in their xn-- form",
    )


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false", "on", "off", "yes", "no"):
        raise InvalidInput(f"{text[:40]!r} is not true or false")
    return text.lower() in ("true", "on", "yes")


def _choice(field_type: str, text: str) -> str:
    for choice in _CHOICES[field_type]:
        if choice.casefold() == text.casefold():
            return choice
    raise InvalidInput(
        f"{text[:40]!r} is not a {field_type}", hint=f"one of {', '.join(_CHOICES[field_type])}"
    )


def generate_password(recipe: str) -> str:
    """A random password by `rand,LENGTH`; lower, upper, digit and symbol are all in it."""
    match = _GENERATE.match(recipe or "rand")
    length = int(match[1] or DEFAULT_LENGTH) if match else 0
    if match is None or not LENGTHS[0] <= length <= LENGTHS[1]:
        raise InvalidInput(
            f"$GEN:{recipe[:40]} is not known", hint="write $GEN or $GEN:rand,20 (8 to 1024)"
        )
    alphabet = "".join(_CLASSES)
    while True:
        password = "".join(secrets.choice(alphabet) for _ in range(length))
        if all(any(character in group for character in password) for group in _CLASSES):
            return password


def assign(data: RecordData, given: Assignment, value: Any) -> None:
    """Set or (with None) remove the first field of that type and label in its section."""
    section = "custom" if given.section == "c" else "fields"
    fields: list[Field] = data.content.setdefault(section, [])
    for field in fields:
        if field.get("type") == given.type and field.get("label", "") == given.label:
            if value is None:
                fields.remove(field)
            else:
                field["value"] = [value]
            return
    if value is not None:
        field = {"type": given.type, "value": [value]}
        if given.label:
            field["label"] = given.label
        fields.append(field)


def check_title(title: str) -> str:
    """Return a title that may be stored. Raises InvalidInput for an empty or overlong one."""
    stripped = title.strip()
    if (
        not stripped
        or len(title) > MAX_TITLE
        or any(ord(c) < 32 or 0xD800 <= ord(c) < 0xE000 for c in title)
    ):
        raise InvalidInput(f"a title has 1 to {MAX_TITLE} characters, none of them a control")
    return stripped


def masked(field: Field) -> list[Any]:
    """A field's values with secrets replaced."""
    values = field.get("value", [])
    if not isinstance(values, list):
        return []
    if is_secret_field(field):
        return ["********" for _ in values]
    return values
