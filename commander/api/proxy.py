"""Which HTTP proxy leads to a server: `HTTPS_PROXY` and `NO_PROXY`, in either case, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping

from commander.errors import InvalidInput
from commander.wire.known_server import split_address

_PROXY = re.compile(
    r"https?://(?:[^@/\s]{1,256}@)?(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}/?\Z"
)


def choose_proxy(environment: Mapping[str, str], address: str) -> str:
    """
    The proxy's URL for `host:port`, or "" to connect directly.

    Raises InvalidInput for a proxy that is not `http://host:port`, without quoting it whole,
    since it may hold a password.
    """
    proxy = environment.get("HTTPS_PROXY") or environment.get("https_proxy") or ""
    if not proxy or _is_exempt(environment, address):
        return ""
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    if not _PROXY.match(proxy):
        raise InvalidInput(
            "HTTPS_PROXY is not a proxy address", hint="write http://host:port, or unset it"
        )
    return proxy


def _is_exempt(environment: Mapping[str, str], address: str) -> bool:
    host, port = split_address(address)
    listed = environment.get("NO_PROXY") or environment.get("no_proxy") or ""
    for entry in listed.split(","):
        name = entry.strip().lower()
        if name == "*" or name in (host, f"{host}:{port}", f"[{host}]:{port}"):
            return True
        suffix = name.lstrip("*").lstrip(".")
        if suffix and host.endswith("." + suffix):
            return True
    return False
