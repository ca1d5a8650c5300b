"""What may stand in a PAM configuration's flags; pure checks with exact errors."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from commander.errors import InvalidInput, UsageError
from commander.plugin.command import Arguments
from commander.wire.pam import SWITCHES, parse_paths
from commander.wire.records import parse_port
from plugins.pam.config.cron import check_cron

MAX_TEXT = 128
MAX_MAPPINGS = 100
PROTOCOLS = (
    "clickhouse", "dynamodb", "elasticsearch", "http", "kubernetes", "mariadb", "mongodb", "mysql",
    "oracle", "postgresql", "rdp", "redis", "sql-server", "ssh", "telnet", "vnc",
)  # fmt: skip


def check_environment(environment: str) -> None:
    """Raise UsageError for an environment that cannot be configured yet."""
    if environment != "local":
        raise UsageError(
            f"environment {environment!r} is not there yet", hint="only --environment local is"
        )


def check_title(title: str) -> str:
    """The title of a configuration. Raises InvalidInput."""
    if not 0 < len(title) <= MAX_TEXT or not title.isprintable() or title != title.strip():
        raise InvalidInput(f"a title has 1 to {MAX_TEXT} printable characters")
    return title


def check_network(text: str) -> str:
    """A network as CIDR in its usual form. Raises InvalidInput."""
    try:
        if "/" not in text:
            raise ValueError("it has no /LENGTH")
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise InvalidInput(
            f"{text[:60]!r} is not a network: {error}", hint="write 10.0.0.0/8 or fd00::/8"
        ) from None


def check_mappings(texts: Iterable[str]) -> tuple[str, ...]:
    """`PORT=PROTOCOL` lines, each port once. Raises InvalidInput."""
    found: dict[int, str] = {}
    for text in texts:
        port_text, equals, protocol = text.partition("=")
        if not equals:
            raise InvalidInput(f"{text[:60]!r} is not PORT=PROTOCOL", hint="for example 2222=ssh")
        port = parse_port(port_text)
        if protocol not in PROTOCOLS:
            raise InvalidInput(
                f"{protocol[:40]!r} is not a protocol", hint=f"one of {', '.join(PROTOCOLS)}"
            )
        if port in found:
            raise InvalidInput(f"port {port} is mapped twice")
        found[port] = protocol
    if len(found) > MAX_MAPPINGS:
        raise InvalidInput(f"more than {MAX_MAPPINGS} port mappings")
    return tuple(f"{port}={protocol}" for port, protocol in sorted(found.items()))


def check_network_id(text: str) -> str:
    """A name of the network for people. Raises InvalidInput."""
    if len(text) > MAX_TEXT or not text.isprintable():
        raise InvalidInput(f"a network id has at most {MAX_TEXT} printable characters")
    return text


def settings_given(arguments: Arguments) -> dict[str, str | tuple[str, ...]]:
    """The settings that the flags name, checked; an empty text empties one. Raises InvalidInput."""
    found: dict[str, str | tuple[str, ...]] = {}
    checks = {
        "network_id": check_network_id,
        "network_cidr": check_network,
        "schedule": check_cron,
    }
    for key, check in checks.items():
        text = arguments.text_or_none(key)
        if text is not None:
            found[key] = check(text) if text else ""
    mappings = arguments.texts("port_mapping")
    if mappings:
        found["port_mappings"] = check_mappings(text for text in mappings if text)
    paths = arguments.text_or_none("paths")
    if paths is not None:
        found["paths"] = parse_paths(paths)
    for switch in SWITCHES:
        value = arguments.text_or_none(switch)
        if value is not None:
            found[switch] = value
    return found
