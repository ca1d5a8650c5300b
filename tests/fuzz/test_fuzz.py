from __future__ import annotations

import itertools
import time
from pathlib import Path

import pytest

from tests.fuzz import targets
from tests.fuzz.mutation import MAX_SIZE, Mutator
from tests.fuzz.targets import Target, TooSlow, find_targets, run

SEED = 20_261
INPUTS = 2_000
TARGETS = find_targets()


@pytest.mark.parametrize("target", TARGETS, ids=[target.name for target in TARGETS])
def test_parser_survives_damaged_inputs(target: Target) -> None:
    """Two thousand damaged inputs raise documented errors or nothing."""
    done, crash = run(target, seed=SEED, count=INPUTS)

    assert crash is None, f"input {done}, kept in {crash.path}: {crash.error!r}"
    assert done == INPUTS


def test_same_seed_gives_same_inputs() -> None:
    """A finding is repeated by its seed; another seed gives other inputs."""
    corpus = [b"first good input", b"second"]

    def first(seed: int) -> list[bytes]:
        return list(itertools.islice(Mutator(corpus, seed).inputs(), 500))

    assert first(1) == first(1)
    assert first(1) != first(2)
    assert first(1)[:2] == corpus
    assert max(map(len, first(1))) <= MAX_SIZE


def test_escaping_error_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that the target does not expect stops the run, and its input is kept."""
    monkeypatch.setattr(targets, "CRASHES", tmp_path)

    def parse(data: bytes) -> None:
        if data[:1] == b"\xff":
            raise IndexError

    done, crash = run(Target("planted", parse, (b"\x00 is fine",)), seed=1, count=20_000)

    assert crash is not None
    assert isinstance(crash.error, IndexError)
    assert crash.path.read_bytes()[:1] == b"\xff"
    assert done < 20_000


def test_endless_parser_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An input that keeps the parser busy for too long counts as a crash."""
    monkeypatch.setattr(targets, "CRASHES", tmp_path)
    monkeypatch.setattr(targets, "INPUT_DEADLINE_S", 0.05)

    def parse(data: bytes) -> None:
        while True:
            time.monotonic()

    _, crash = run(Target("endless", parse, (b"x",)), seed=1, count=5)

    assert crash is not None
    assert isinstance(crash.error, TooSlow)
