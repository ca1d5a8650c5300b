"""
Several machines on this one: network namespaces joined by a bridge, with a firewall on request.

Nothing of it touches the machine's own network. Needs root (or sudo without a password), iproute2
and nftables. Every lab may use the same addresses, since labs do not see each other.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.privilege import privileged
from tests.support.processes import Child

_PREFIX = "commander-test"
_SUBNET = "10.203.7"

# Established answers, loopback and neighbour discovery come in; new connections do not.
_DROP_INBOUND = """
table inet firewall {
  chain inbound {
    type filter hook input priority 0; policy drop;
    iifname lo accept
    ct state established,related accept
    counter drop
  }
}
"""


# Packets to and from one address vanish without a word, in both directions.
_CUT = """
table inet cut {{
  chain out {{ type filter hook output priority 0; ip daddr {address} drop; }}
  chain in {{ type filter hook input priority 0; ip saddr {address} drop; }}
}}
"""


class Host:
    """One pretended machine with an address of its own; made by a Lab."""

    def __init__(self, name: str, namespace: str, address: str) -> None:
        self.name = name
        self.namespace = namespace
        self.address = address
        self.children: list[Child] = []

    @property
    def prefix(self) -> tuple[str, ...]:
        """Put before a command, this runs it on this host."""
        return tuple(privileged("ip", "netns", "exec", self.namespace))

    def run(
        self,
        *command: str | Path,
        check: bool = True,
        environment: Mapping[str, str] | None = None,
        deadline_s: float = 60.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command here to its end. Raises CalledProcessError unless `check` is off."""
        return subprocess.run(
            [*self.prefix, *map(str, command)],
            env=None if environment is None else dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=deadline_s,
            check=check,
        )

    def start(self, *command: str | Path, environment: Mapping[str, str] | None = None) -> Child:
        """Start a program here; the lab ends it at the latest."""
        popen = subprocess.Popen(
            [*self.prefix, *map(str, command)],
            env=None if environment is None else dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        child = Child(f"{command[0]} on {self.name}", popen)
        self.children.append(child)
        return child

    def drop_inbound(self) -> None:
        """From now on nobody can connect to this host; it can still connect out."""
        self.nft(_DROP_INBOUND)

    def accept_inbound(self) -> None:
        """Take the firewall away again."""
        self.nft("delete table inet firewall")

    def dropped_packets(self) -> int:
        """How many packets the firewall has dropped."""
        listing = self.run("nft", "list", "table", "inet", "firewall").stdout
        return int(listing.split("counter packets ")[1].split()[0])

    def unplug(self) -> None:
        """Pull the cable: packets in both directions vanish without a word."""
        self.ip("link", "set", "dev", "eth0", "down")

    def plug_in(self) -> None:
        """Put the cable back; the route out comes back with it."""
        self.ip("link", "set", "dev", "eth0", "up")

    def cut_off(self, other: Host) -> None:
        """From now on nothing passes between this host and one other; one at a time."""
        self.nft(_CUT.format(address=other.address))

    def rejoin(self) -> None:
        """Let pass again what `cut_off` dropped."""
        self.nft("delete table inet cut")

    def move_to(self, address: str) -> None:
        """Take another address, as a machine does that comes into another network."""
        self.ip("addr", "flush", "dev", "eth0", "scope", "global")
        self.ip("addr", "add", f"{address}/24", "dev", "eth0")
        self.address = address

    def stop_children(self) -> None:
        """End the programs that were started here."""
        for child in reversed(self.children):
            with contextlib.suppress(AssertionError):
                child.stop()

    def ip(self, *words: str) -> None:
        """Configure this host's network with iproute2."""
        run_checked("ip", "-n", self.namespace, *words)

    def nft(self, rules: str) -> None:
        """Load firewall rules here."""
        subprocess.run(
            [*self.prefix, "nft", "-f", "-"],
            input=rules,
            check=True,
            capture_output=True,
            text=True,
            timeout=30,
        )


class Hosts:
    """
    Named hosts, gone when the context ends, however it ends; a subclass joins them by `_build`.

    Each set has names of its own, so that several exist at once.
    """

    def __init__(self, addresses: Mapping[str, str]) -> None:
        # The maker's pid is in the name, so that a later run can tell what a killed one left.
        self._prefix = f"{_PREFIX}-{os.getpid()}-{secrets.token_hex(3)}"
        self._hosts = {
            name: Host(name, f"{self._prefix}-{name}", address)
            for name, address in addresses.items()
        }

    def __getitem__(self, name: str) -> Host:
        return self._hosts[name]

    def __enter__(self) -> Self:
        remove_abandoned()
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End what runs here and remove the hosts. May be called again."""
        for host in self._hosts.values():
            host.stop_children()
        for host in self._hosts.values():
            remove_namespace(host.namespace)

    def _build(self) -> None:
        """Make the hosts and what joins them; called once."""
        raise NotImplementedError


class Lab(Hosts):
    """
    Hosts on one switch.

        with Lab("server", "client", "gateway") as lab:
            lab["gateway"].drop_inbound()
            lab["client"].run("ping", "-c1", lab["server"].address)
    """

    def __init__(self, *names: str) -> None:
        super().__init__({name: f"{_SUBNET}.{number}" for number, name in enumerate(names, 1)})
        self._switch = f"{self._prefix}-switch"

    def close(self) -> None:
        """The switch as well."""
        super().close()
        remove_namespace(self._switch)

    def _build(self) -> None:
        run_checked("ip", "netns", "add", self._switch)
        run_checked("ip", "-n", self._switch, "link", "add", "name", "bridge0", "type", "bridge")
        run_checked("ip", "-n", self._switch, "link", "set", "dev", "bridge0", "up")
        for number, host in enumerate(self._hosts.values(), start=1):
            self._add(host, f"port{number}")

    def _add(self, host: Host, port: str) -> None:
        run_checked("ip", "netns", "add", host.namespace)
        run_checked(
            "ip", "link", "add", "eth0", "netns", host.namespace,
            "type", "veth", "peer", "name", port, "netns", self._switch,
        )  # fmt: skip
        run_checked("ip", "-n", self._switch, "link", "set", "dev", port, "master", "bridge0")
        run_checked("ip", "-n", self._switch, "link", "set", "dev", port, "up")
        inside = ("ip", "-n", host.namespace)
        run_checked(*inside, "addr", "add", f"{host.address}/24", "dev", "eth0")
        run_checked(*inside, "link", "set", "dev", "lo", "up")
        run_checked(*inside, "link", "set", "dev", "eth0", "up")


def remove_abandoned() -> None:
    """Remove the labs of test runs that were killed; those of living ones stay."""
    for namespace in _namespaces():
        ours = namespace.startswith(f"{_PREFIX}-")
        maker = namespace.removeprefix(f"{_PREFIX}-").partition("-")[0]
        if ours and maker.isdigit() and not Path(f"/proc/{maker}").exists():
            remove_namespace(namespace)


def _namespaces() -> Sequence[str]:
    try:
        return os.listdir("/run/netns")
    except FileNotFoundError:
        return []


def remove_namespace(namespace: str) -> None:
    """Remove a namespace of a lab with all that runs in it; harmless when it is gone."""
    if namespace not in _namespaces():
        return
    # Only this lab starts programs in its namespaces, so all that still run there are its own.
    inside = subprocess.run(
        privileged("ip", "netns", "pids", namespace), capture_output=True, text=True, check=False
    )
    for pid in inside.stdout.split():
        subprocess.run(
            privileged("kill", f"-{signal.SIGKILL.value}", pid), capture_output=True, check=False
        )
    subprocess.run(privileged("ip", "netns", "del", namespace), capture_output=True, check=False)


def run_checked(*command: str) -> None:
    """Run a command as root; its complaint fails the test."""
    done = subprocess.run(
        privileged(*command), capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()} (is this root?)"
