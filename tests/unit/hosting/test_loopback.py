from __future__ import annotations

import ipaddress
import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from commander.hosting.loopback import (
    LoopbackAddresses,
    Natural,
    choose_address,
    choose_name,
    name_stem,
)

RECORD = "r" * 22


@given(st.text(max_size=30))
def test_addresses_are_usable_and_away_from_the_known_ones(record: str) -> None:
    """No network or broadcast address, none of 127.0.0.0/10."""
    address = ipaddress.IPv4Address(choose_address(record, ()))
    assert (
        ipaddress.IPv4Address("127.64.0.1") <= address <= ipaddress.IPv4Address("127.127.255.254")
    )
    assert address.packed[3] not in (0, 255)


def test_the_same_record_has_the_same_address_every_day(tmp_path: Path) -> None:
    """Also in a new process, and also when the file was lost."""
    path = tmp_path / "home" / "loopback.json"
    first = LoopbackAddresses(path).of(RECORD, "Orders DB")
    again = LoopbackAddresses(path).of(RECORD, "Orders DB")
    path.unlink()
    lost = LoopbackAddresses(path).of(RECORD, "Orders DB")

    assert first == again == lost
    assert first.name == "orders-db"
    assert path.stat().st_mode & 0o777 == 0o600


def test_no_two_records_share_an_address_or_a_name(tmp_path: Path) -> None:
    """What collides moves on, and stays where it went."""
    path = tmp_path / "loopback.json"
    wanted = choose_address(RECORD, ())
    path.write_text(json.dumps({"other": [wanted, "orders-db"]}))
    path.chmod(0o600)

    moved = LoopbackAddresses(path).of(RECORD, "Orders DB")

    assert moved.address != wanted
    assert moved.name == "orders-db-2"
    assert LoopbackAddresses(path).of(RECORD, "Orders DB") == moved
    assert LoopbackAddresses(path).of("other", "orders db") == Natural(wanted, "orders-db")


def test_a_new_title_is_a_new_name_at_the_old_address(tmp_path: Path) -> None:
    """The address is in other people's settings; the name follows the record."""
    addresses = LoopbackAddresses(tmp_path / "loopback.json")
    before = addresses.of(RECORD, "Orders DB")
    after = addresses.of(RECORD, "Orders (new)")

    assert after == Natural(before.address, "orders-new")


def test_titles_become_labels() -> None:
    """Letters, digits and single hyphens; the UID when nothing is left."""
    assert name_stem("  Orders -- DB_1 (prod)!", RECORD) == "orders-db-1-prod"
    assert name_stem("数据库", "AbC_-1") == "abc-1"
    assert len(name_stem("x" * 200, RECORD)) == 50
    assert choose_name("a", {"a", "a-2"}) == "a-3"


def test_a_damaged_file_counts_as_empty(tmp_path: Path) -> None:
    """Convenience must not cost the tunnel; addresses of others' ranges are not believed."""
    path = tmp_path / "loopback.json"
    expected = LoopbackAddresses(path).of(RECORD, "Orders DB")
    for content in ("[]", "{", '{"' + RECORD + '": ["8.8.8.8", "x"]}', '{"' + RECORD + '": 5}'):
        path.write_text(content)
        path.chmod(0o600)
        assert LoopbackAddresses(path).of(RECORD, "Orders DB") == expected
