from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from commander.codec import encode
from commander.errors import CommanderError, InvalidInput, Tampered
from commander.gateway import pins as pins_module
from commander.gateway.pins import PinFile, Pins, RecordPin
from commander.wire.seals import Signed

PIN = RecordPin(Signed(b"a", b"b"), None)


async def test_pins_survive_and_refuse_damage(tmp_path: Path) -> None:
    """What was saved is there; a damaged file is an alarm, not an empty one."""
    path = tmp_path / "pins.bin"
    pins = Pins(path)
    pin = RecordPin(Signed(b"a", b"b"), None)
    pins.pin_log(7, b"h" * 32)
    pins.pin_record("r", pin)
    await pins.save()

    again = Pins(path)
    assert (again.log, again.record("r")) == ((7, b"h" * 32), pin)
    data = path.read_bytes()
    for cut in range(len(data)):
        path.write_bytes(data[:cut])
        with pytest.raises(Tampered):
            Pins(path)


async def test_another_version_is_refused(tmp_path: Path) -> None:
    """A file of a later version is not overwritten."""
    path = tmp_path / "pins.bin"
    path.touch(mode=0o600)
    path.write_bytes(encode(PinFile(2, -1, b"", {})))

    with pytest.raises(InvalidInput):
        Pins(path)


async def test_pinned_records_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the bound new records are refused, known ones still move."""
    monkeypatch.setattr(pins_module, "MAX_RECORDS", 1)
    pins = Pins(tmp_path / "pins.bin")
    pins.pin_record("one", PIN)

    with pytest.raises(InvalidInput):
        pins.pin_record("two", PIN)
    pins.pin_record("one", RecordPin(Signed(b"c", b"d"), None))


async def test_writers_do_not_meet(tmp_path: Path) -> None:
    """Many saves at once write one after the other, and the last word is on disk."""
    path = tmp_path / "pins.bin"
    pins = Pins(path)

    async def pin(number: int) -> None:
        pins.pin_log(number, bytes(32))
        await pins.save()

    await asyncio.gather(*(pin(number) for number in range(50)))

    assert Pins(path).log == (49, bytes(32))


async def test_what_could_not_be_written_is_tried_again(tmp_path: Path) -> None:
    """A disk that refuses once does not make a pin be forgotten."""
    directory = tmp_path / "state"
    directory.mkdir()
    pins = Pins(directory / "pins.bin")
    pins.pin_log(3, bytes(32))
    away = directory.rename(tmp_path / "away")
    with pytest.raises(CommanderError):
        await pins.save()
    away.rename(directory)

    await pins.save()

    assert Pins(directory / "pins.bin").log == (3, bytes(32))
