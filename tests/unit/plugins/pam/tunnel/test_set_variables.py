from __future__ import annotations

from commander.hosting.model import TunnelInfo
from commander.wire.records import RecordData
from plugins.pam.tunnel.set_variables import NamedTunnel, set_variables


def named(prefix: str, remote: str, kind: str, port: int, *, unix: str = "") -> NamedTunnel:
    host = unix or "127.0.0.1"
    tunnel = TunnelInfo(
        prefix, "c", "r", "t", "g", remote, host, 0 if unix else port, "open",
        "relay", 1, 0.0, 0, 0, 0, 0, None, 1, "session", unix=unix,
    )  # fmt: skip
    return NamedTunnel(prefix, tunnel, RecordData.create(kind, prefix), "app")


ORDERS = named("ORDERS_DB", "db:5432", "pamDatabase", 15432)
CACHE = named("CACHE", "cache:6379", "pamMachine", 16379)


def test_each_has_its_own() -> None:
    """Host, port and both together; a Unix socket has its path instead."""
    admin = named("ADMIN", "admin:9000", "pamMachine", 0, unix="/run/admin.sock")
    variables = set_variables([ORDERS, CACHE, admin])

    assert variables["ORDERS_DB_HOST"] == variables["CACHE_HOST"] == "127.0.0.1"
    assert variables["ORDERS_DB_PORT"] == "15432"
    assert variables["CACHE_ADDRESS"] == "127.0.0.1:16379"
    assert variables["ADMIN_SOCKET"] == "/run/admin.sock"
    assert "ADMIN_PORT" not in variables
    assert not [name for name in variables if name.startswith("PAM_")]


def test_a_clients_own_variables_only_for_the_only_one() -> None:
    """With two databases PGHOST would be a guess."""
    assert set_variables([ORDERS, CACHE])["PGPORT"] == "15432"
    both = set_variables([ORDERS, named("OTHER", "db2:5432", "pamDatabase", 25432)])
    assert "PGHOST" not in both
    assert "PGUSER" not in both


def test_a_set_of_one_has_what_start_gives() -> None:
    """A file with one tunnel is as good as `pam tunnel start`."""
    assert set_variables([ORDERS])["PAM_PORT"] == "15432"
