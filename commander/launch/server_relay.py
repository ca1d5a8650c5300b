"""`commander-server relay-config`, and the relays that `commander-server start` is told of."""

from __future__ import annotations

import argparse
import secrets
import shlex
import sys
from pathlib import Path

from commander.backend import tls
from commander.backend.relay_config import RelayPlan, write_config
from commander.backend.turn import Relays, read_secret
from commander.clock import SystemClock
from commander.errors import InvalidInput, NotFound, UsageError
from commander.files import make_private_directory, read_private, write_private
from commander.secret import Secret
from commander.wire.ice import IceUrl, parse_ice_url

SECRET_FILE = "turn.secret"  # noqa: S105  the name of a file
CONFIG_FILE = "turnserver.conf"
_SECRET_BYTES = 32


def read_relays(options: argparse.Namespace) -> Relays:
    """
    The relays that the options of `start` name.

    Raises InvalidInput for an address or a secret that cannot be used, NotFound for a file
    that is not there.
    """
    urls = tuple(parse_ice_url(text) for text in (*options.stun_url, *options.turn_url))
    for text, url in zip((*options.stun_url, *options.turn_url), urls, strict=True):
        if url.is_turn != (text in options.turn_url):
            raise InvalidInput(
                f"{text} is given to the wrong option", hint="--stun-url stun:…, --turn-url turn:…"
            )
    path: Path | None = options.turn_secret_file
    return Relays(urls, None if path is None else _read_secret(path), options.turn_only)


def _read_secret(path: Path) -> Secret:
    try:
        return read_secret(read_private(path, limit=4096))
    except FileNotFoundError:
        raise NotFound(
            f"{path} is not there", hint="commander-server relay-config makes one"
        ) from None


def relay_config(options: argparse.Namespace) -> int:
    """Write coturn's configuration, its secret and its certificate; say how to start it."""
    directory: Path = options.output or options.data / "relay"
    make_private_directory(options.data)
    make_private_directory(directory)
    secret = _keep_secret(directory / SECRET_FILE)
    certificate, key = _certificate(options, directory)
    plan = RelayPlan(
        realm=options.public_name,
        relay_address=options.relay_address,
        local_address=options.local_address,
        secret=secret,
        certificate=certificate,
        key=key,
        pid_file=directory / "turnserver.pid",
        port=options.port,
        tls_port=options.tls_port,
        first_port=options.relay_ports[0],
        last_port=options.relay_ports[1],
        max_relays=options.max_relays,
    )
    write_private(directory / CONFIG_FILE, write_config(plan).encode())
    sys.stdout.write(_instructions(plan, directory, options.public_name))
    return 0


def _keep_secret(path: Path) -> Secret:
    """The secret of an earlier run, so that running servers and relays go on to agree."""
    try:
        return read_secret(read_private(path, limit=4096))
    except FileNotFoundError:
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        write_private(path, f"{secret}\n".encode())
        return Secret(secret)


def _certificate(options: argparse.Namespace, directory: Path) -> tuple[Path, Path]:
    if (options.tls_cert is None) != (options.tls_key is None):
        raise UsageError("--tls-cert and --tls-key belong together")
    if options.tls_cert is not None:
        return options.tls_cert.absolute(), options.tls_key.absolute()
    now = SystemClock().now()
    # Clients trust the server's own CA already, so the relay needs no other.
    authority = tls.load_authority(options.data, now=now)
    names = [options.public_name, options.relay_address]
    tls.ensure_certificate(directory, authority, names, now=now)
    return (directory / "tls.pem").absolute(), (directory / "tls.key").absolute()


def _instructions(plan: RelayPlan, directory: Path, name: str) -> str:
    urls = (
        IceUrl("turn", name, plan.port, "udp"),
        IceUrl("turn", name, plan.port, "tcp"),
        IceUrl("turns", name, plan.tls_port, "tls"),
    )
    words = [f"--turn-url {shlex.quote(str(url))}" for url in urls]
    words.insert(0, f"--stun-url {IceUrl('stun', name, plan.port, 'udp')}")
    words.append(f"--turn-secret-file {shlex.quote(str(directory / SECRET_FILE))}")
    config = directory / CONFIG_FILE
    return (
        f"wrote {config} and its secret; both are for the user that runs coturn only\n"
        f"open at the firewall: UDP and TCP {plan.port}, TCP {plan.tls_port}, "
        f"UDP {plan.first_port} to {plan.last_port}\n"
        f"start the relay:  turnserver -c {shlex.quote(str(config))}\n"
        f"start the server: commander-server start … \\\n    " + " \\\n    ".join(words) + "\n"
    )
