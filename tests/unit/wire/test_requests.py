from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.crypto.box import BoxPrivateKey
from commander.crypto.signing import SigningKey
from commander.errors import InvalidInput, SealBroken
from commander.wire.requests import (
    Answer,
    SignedRequest,
    open_answer,
    open_request,
    read_header,
    seal_answer,
    seal_request,
    sign_request,
    unsigned_request,
    verify_request,
    write_header,
)

SERVER, DEVICE = BoxPrivateKey.generate(), SigningKey.generate()
ROUTE = {"method": "POST", "path": "/api/v1/commit"}


def signed(body: bytes = b"body") -> SignedRequest:
    return sign_request(DEVICE, **ROUTE, principal="d", session="s", time=1000, body=body)


def test_a_request_travels_whole() -> None:
    """The server reads what the device signed and answers under the same key."""
    request = signed()
    data, key = seal_request(SERVER.public, request, **ROUTE)

    received, server_key = open_request(SERVER, data, **ROUTE)
    verify_request(received, DEVICE.public, **ROUTE)
    answer = Answer(True, b"done", "", "", "")

    assert received == request
    assert open_answer(key, data, seal_answer(server_key, data, answer)) == answer


@pytest.mark.parametrize("change", ["method", "path", "query"])
def test_a_signature_is_for_one_route(change: str) -> None:
    """The same request on another method, path or query does not verify."""
    route = {**ROUTE, "query": ""}
    verify_request(signed(), DEVICE.public, **route)

    with pytest.raises(SealBroken):
        verify_request(signed(), DEVICE.public, **{**route, change: "x"})


@pytest.mark.parametrize(
    "change",
    [{"principal": "e"}, {"session": "t"}, {"time": 1001}, {"nonce": bytes(16)}, {"body": b"x"}],
)
def test_every_field_is_signed(change: dict[str, object]) -> None:
    """Changing any field breaks the signature."""
    fields = {name: getattr(signed(), name) for name in SignedRequest.__struct_fields__}

    with pytest.raises(SealBroken):
        verify_request(SignedRequest(**{**fields, **change}), DEVICE.public, **ROUTE)


def test_an_answer_fits_its_request_only() -> None:
    """An answer moved to another request does not open, even under the same key."""
    data, key = seal_request(SERVER.public, signed(), **ROUTE)
    other, _ = seal_request(SERVER.public, signed(), **ROUTE)
    answer = seal_answer(key, data, Answer(True, b"", "", "", ""))

    with pytest.raises(SealBroken):
        open_answer(key, other, answer)
    open_answer(key, data, answer)


def test_altered_requests_do_not_open() -> None:
    """Neither flipped, truncated nor sent to another path does a request open."""
    data, _ = seal_request(SERVER.public, signed(), **ROUTE)
    for position in range(0, len(data), 53):
        flipped = bytearray(data)
        flipped[position] ^= 0x80
        with pytest.raises((SealBroken, InvalidInput)):
            open_request(SERVER, bytes(flipped), **ROUTE)
        with pytest.raises((SealBroken, InvalidInput)):
            open_request(SERVER, data[:position], **ROUTE)
    with pytest.raises(SealBroken):
        open_request(SERVER, data, method="POST", path="/api/v1/sync")


def test_the_upgrade_header_round_trips() -> None:
    """A WebSocket is authorised by a signed request without a body."""
    request = signed(b"")

    assert read_header(write_header(request)) == request
    for bad in (write_header(signed(b"x")), "zz", "", "00" * 2000):
        with pytest.raises(InvalidInput):
            read_header(bad)


def test_an_unsigned_request_names_nobody() -> None:
    """Calls with a proof of their own carry no principal and no signature."""
    request = unsigned_request(time=1, body=b"x")

    assert (request.principal, request.session, request.signature) == ("", "", b"")
    with pytest.raises(SealBroken):
        verify_request(request, DEVICE.public, **ROUTE)


@given(st.binary(max_size=200), st.text(max_size=50))
def test_hostile_bytes_give_only_documented_errors(data: bytes, text: str) -> None:
    """Anything else than a request, answer or header is InvalidInput or SealBroken."""
    for parse in (
        lambda: open_request(SERVER, data, **ROUTE),
        lambda: open_answer(bytes(32), b"", data),
        lambda: read_header(text),
    ):
        with pytest.raises((InvalidInput, SealBroken)):
            parse()
