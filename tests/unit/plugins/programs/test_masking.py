"""Tests of plugins/programs/masking.py."""

from __future__ import annotations

import base64
import json
import shlex
import time
from collections.abc import Callable
from itertools import pairwise
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.programs.masking import MASK, MAX_PATTERNS, PIECE, Masker

SECRET = "p/äss+w0rd'§\"x"
_SMALL = st.text(alphabet="ab", min_size=4, max_size=7)


def mask(secrets: list[str], *chunks: bytes) -> bytes:
    """All that comes out."""
    masker = Masker(secrets)
    return b"".join([*map(masker.feed, chunks), masker.finish()])


@pytest.mark.parametrize(
    "written",
    [
        SECRET,
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        quote(SECRET),
        quote(SECRET, safe=""),
        quote(SECRET, safe="").replace("%C3%A4", "%c3%a4").replace("%C2%A7", "%c2%a7").replace(
            "%2F", "%2f").replace("%2B", "%2b"),
        quote_plus(SECRET),
        shlex.quote(SECRET)[1:-1].replace("'\"'\"'", "'\\''"),
        repr(SECRET)[1:-1],
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
    ],
)  # fmt: skip
def test_what_programs_print_is_masked(written: str) -> None:
    """As it is, and in every spelling that is looked for."""
    assert mask([SECRET], f"<{written}>".encode()) == b"<" + MASK + b">"


@pytest.mark.parametrize("before", ["", "a", "ab", "abc"])
@pytest.mark.parametrize("after", ["", "z", "zz"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_base64_of_a_longer_text_holds_no_secret(before: str, after: str, encode) -> None:  # type: ignore[no-untyped-def] # either of two functions of the standard library
    """`user:password` in base64 gives away at most the bits beside the secret."""
    encoded = encode(f"{before}{SECRET}{after}".encode())

    out = mask([SECRET], encoded)

    assert MASK in out
    assert len(out.replace(MASK, b"")) <= len(encoded) - len(SECRET.encode()) * 8 // 6 + 1


@given(
    secrets=st.lists(_SMALL, min_size=1, max_size=3),
    text=st.text(alphabet="abc", max_size=40),
    cuts=st.lists(st.integers(0, 40), max_size=6),
)
def test_however_the_stream_is_cut_the_same_comes_out(
    secrets: list[str], text: str, cuts: list[int]
) -> None:
    """Chunk borders anywhere change nothing, and no secret comes out."""
    data = text.encode()
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    chunks = [data[a:b] for a, b in pairwise(places)]

    whole = mask(secrets, data)

    assert mask(secrets, *chunks) == whole
    assert mask(secrets, *(bytes([byte]) for byte in data)) == whole
    assert not any(secret.encode() in whole for secret in secrets)
    assert whole.replace(MASK, b"").strip(b"abc") == b""


def test_overlapping_secrets_are_covered_together() -> None:
    """The end of the second one does not stay behind."""
    assert mask(["abcdef", "defghi"], b"1abcdefghi2") == b"1" + MASK + b"2"


def test_a_longer_secret_that_begins_like_another_is_covered_whole() -> None:
    """Also when the chunk ends where the shorter one does."""
    assert mask(["pass", "password"], b"-pass", b"word-pass-") == b"-" + MASK + b"-" + MASK + b"-"


def test_only_a_possible_beginning_is_held_back() -> None:
    """A prompt appears at once, and a secret that is cut appears never."""
    masker = Masker(["s3cret"])

    assert masker.feed(b"Go on? [y/n] ") == b"Go on? [y/n] "
    assert masker.feed(b"s3cr") == b""
    assert masker.feed(b"azy ") == b"s3crazy "


def test_an_endless_secret_costs_no_memory() -> None:
    """A text made of one secret's letter alone is masked once, with little held."""
    masker = Masker(["aaaa"])

    out = b"".join(masker.feed(b"a" * 1000) for _ in range(50))

    assert out == MASK
    assert len(masker._held) < 8
    assert masker.finish() == b""


@pytest.mark.parametrize(
    "encode", [str.encode, lambda text: base64.b64encode(b"x" + text.encode()), lambda text: text.encode().hex().encode()]
)  # fmt: skip
def test_a_long_secret_is_covered_without_a_gap(encode: Callable[[str], bytes]) -> None:
    """Piece by piece, whatever it is written in; a part of it that has a whole piece is covered too."""
    secret = "".join(f"{number:x}" for number in range(1000))
    shown = mask([secret], b"<" + encode(secret) + b">")

    assert shown.count(MASK) == 1
    assert len(shown) <= len(MASK) + 8
    assert MASK in mask([secret], encode(secret)[: 3 * PIECE])


def test_output_that_nearly_fits_costs_little() -> None:
    """Without a bound each of these bytes would be compared with all of the secret."""
    begun = time.process_time()
    shown = mask(["a" * 60_000 + "b"], b"a" * 50_000)

    # A thousandth of what it took: it ends runaway work, and is no measurement.
    assert time.process_time() - begun < 20
    assert shown == MASK


def test_lines_of_a_secret_count_alone() -> None:
    """A key printed line by line, each behind a prefix, is masked."""
    key = "-----BEGIN KEY-----\nMIIabcdef\nab\n"

    assert mask([key], b"x MIIabcdef\nx ab\n") == b"x " + MASK + b"\nx ab\n"


def test_short_values_are_left_alone() -> None:
    """`app` is part of ordinary words; nothing to look for passes everything on."""
    assert mask(["app"], b"an apple") == b"an apple"
    assert mask([], b"x") == b"x"


def test_too_many_secrets_are_refused() -> None:
    """The search is bounded."""
    with pytest.raises(ValueError, match="too many"):
        Masker(f"secret-{number}" for number in range(MAX_PATTERNS))


def test_secrets_beside_each_other_are_masked_each() -> None:
    """However the chunks come."""
    assert mask(["aaab"], b"aaabaaab") == mask(["aaab"], b"aaab", b"aaab") == MASK * 2
