from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.backend.http.multipart import FilePart
from commander.errors import InvalidInput

TYPE = "multipart/form-data; boundary=----abc"
CONTENT = b"\r\n------ab\r\n--\x00\xff" * 40


def body(*parts: tuple[str, bytes], lead: bytes = b"", end: bytes = b"------abc--\r\n") -> bytes:
    """A body as SDKs send it."""
    whole = lead
    for name, data in parts:
        head = f'------abc\r\nContent-Disposition: form-data; name="{name}"\r\n'
        whole += head.encode() + b"Content-Type: application/octet-stream\r\n\r\n" + data + b"\r\n"
    return whole + end


def read(raw: bytes, cuts: list[int] | None = None) -> bytes:
    """The file, however the network cuts the body."""
    part, found, before = FilePart(TYPE), b"", 0
    for cut in [*sorted(cuts or []), len(raw)]:
        found += part.receive(raw[before:cut])
        before = cut
    part.finish()
    return found


GOOD = body(("version", b"1"), ("file", CONTENT))


def test_file_is_found_among_other_parts() -> None:
    """Before and after, in other SDKs' spelling too."""
    assert read(GOOD) == CONTENT
    assert read(body(("file", CONTENT), ("key", b"x"), lead=b"\r\n")) == CONTENT
    assert read(body(("file", b""))) == b""


@given(cuts=st.lists(st.integers(0, len(GOOD)), max_size=8))
def test_file_does_not_depend_on_chunking(cuts: list[int]) -> None:
    """Boundaries may be cut anywhere."""
    assert read(GOOD, cuts) == CONTENT


def test_every_truncation_is_refused() -> None:
    """At each byte up to the end of the last boundary."""
    for cut in range(len(GOOD) - 2):
        with pytest.raises(InvalidInput):
            read(GOOD[:cut])


@pytest.mark.parametrize(
    "raw",
    [
        body(("other", b"x")),
        body(("file", b"x"), ("file", b"y")),
        body(*[("key", b"")] * 33, ("file", b"x")),
        body(("key", bytes(17 * 1024)), ("file", b"x")),
        GOOD.replace(b"Content-Type", b"X" * 2000),
        GOOD.replace(b"Content-Type", b"A: b\r\n" * 9 + b"Content-Type"),
        GOOD.replace(b"Content-Type", b"Content\x00Type"),
        b"garbage" * 10,
    ],
)
def test_odd_bodies_are_refused(raw: bytes) -> None:
    """No file, two files, too many or too large other parts, headers without end."""
    with pytest.raises(InvalidInput):
        read(raw)


@pytest.mark.parametrize(
    "kind",
    ["", "text/plain", "multipart/form-data", "multipart/form-data; boundary=",
     "multipart/form-data; boundary=" + "x" * 71],
)  # fmt: skip
def test_other_content_types_are_refused(kind: str) -> None:
    """Only a form with a boundary is read."""
    with pytest.raises(InvalidInput):
        FilePart(kind)
