from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commander.crypto import aead, kdf
from commander.errors import InvalidInput, SealBroken
from commander.ksm import ecies, request
from commander.ksm.base64_text import to_standard
from commander.ksm.errors import UnknownServerKey
from commander.ksm.keys import P256PrivateKey
from tests.support.vectors import flips, load

OWN = load("own/ksm")[0]
SERVER = P256PrivateKey(bytes.fromhex(OWN["server"]))
DEVICE = P256PrivateKey(bytes.fromhex(OWN["device"]))
OTHER = P256PrivateKey.generate()
SENT = request.build_request(SERVER.public, 4001, DEVICE, b'{"a": 1}')


def opened(
    headers: dict[str, str] | None = None, body: bytes | None = None
) -> request.OpenedRequest:
    return request.open_request(
        {**SENT.headers, **(headers or {})}, SENT.body if body is None else body, [SERVER]
    )


def test_recorded_request_opens() -> None:
    """A request of the past is opened, verified and answered as then."""
    found = request.open_request(OWN["headers"], bytes.fromhex(OWN["body"]), [SERVER])

    found.verify_signature(DEVICE.public)
    assert found.payload.decode() == OWN["payload"]
    assert found.transmission_key.hex() == OWN["transmission_key"]
    answer = request.open_response(found.transmission_key, bytes.fromhex(OWN["answer"]))
    assert answer.hex() == OWN["plaintext"]


@settings(max_examples=30)
@given(payload=st.binary(min_size=1, max_size=300), answer=st.binary(max_size=300))
def test_round_trip(payload: bytes, answer: bytes) -> None:
    """The server reads what the client sent, and the client what the server answers."""
    sent = request.build_request(SERVER.public, 4001, DEVICE, payload)

    found = request.open_request(sent.headers, sent.body, [SERVER])

    found.verify_signature(DEVICE.public)
    assert (found.key_id, found.payload) == (4001, payload)
    assert sent.open_answer(found.seal_answer(answer)) == answer


def test_parts_have_the_sizes_and_forms_of_the_protocol() -> None:
    """125 bytes of wrapped key in standard base64, the scheme word, and a signature over both."""
    found = opened()

    assert SENT.headers["PublicKeyId"] == "4001"
    assert SENT.headers["TransmissionKey"] == to_standard(found.wrapped_key)
    assert len(found.wrapped_key) == 125
    assert SENT.headers["Authorization"] == "Signature " + to_standard(found.signature)
    DEVICE.public.verify(found.signature, found.wrapped_key + SENT.body)
    assert aead.open_sealed(found.transmission_key, SENT.body) == b'{"a": 1}'


def test_two_requests_share_nothing() -> None:
    """Each attempt has its own transmission key, so fingerprints tell replays."""
    again = request.build_request(SERVER.public, 4001, DEVICE, b'{"a": 1}')
    found = request.open_request(again.headers, again.body, [SERVER])

    assert found.fingerprint != opened().fingerprint
    assert opened().fingerprint == opened().fingerprint == kdf.sha256(opened().wrapped_key)


def test_header_names_are_compared_without_case() -> None:
    """Proxies change the case of names; other headers do not matter."""
    headers = {name.upper(): value for name, value in SENT.headers.items()}
    headers["CONTENT-TYPE"] = "application/x-www-form-urlencoded"

    request.open_request(headers, SENT.body, [SERVER]).verify_signature(DEVICE.public)


def test_header_that_is_there_twice_is_refused() -> None:
    """Which of two values counts is not for us to guess."""
    headers = {**SENT.headers, "publickeyid": "4001"}

    with pytest.raises(InvalidInput, match="publickeyid is there twice"):
        request.open_request(headers, SENT.body, [SERVER])


def test_retired_key_still_opens_whatever_the_id_says() -> None:
    """All keys of a server are tried; the id only matters when none fits."""
    found = request.open_request({**SENT.headers, "PublicKeyId": "7"}, SENT.body, [OTHER, SERVER])

    assert found.payload == b'{"a": 1}'


@pytest.mark.parametrize("keys", [[], [OTHER]])
def test_request_for_another_server_names_the_key_it_used(keys: list[P256PrivateKey]) -> None:
    """The id is what the answer depends on."""
    with pytest.raises(UnknownServerKey, match="server key 4001") as caught:
        request.open_request(SENT.headers, SENT.body, keys)

    assert caught.value.key_id == 4001


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "+7", "07", " 7", "7 ", "7\n", "x", "1.0", "2147483648", "9" * 11,
             "9" * 10_000, "\u0667"]
)  # fmt: skip
def test_key_id_of_another_form_is_refused(text: str) -> None:
    """Only a plain positive number of 32 bits is an id."""
    with pytest.raises(InvalidInput, match="publickeyid"):
        opened({"PublicKeyId": text})


@pytest.mark.parametrize("name", ["PublicKeyId", "TransmissionKey", "Authorization"])
def test_missing_header_is_refused(name: str) -> None:
    """All three are needed."""
    headers = {key: value for key, value in SENT.headers.items() if key != name}

    with pytest.raises(InvalidInput, match=f"header {name.lower()}"):
        request.open_request(headers, SENT.body, [SERVER])


@pytest.mark.parametrize(
    "text", ["", "Signature", "Signature ", "signature AAAA", "Bearer AAAA", "Signature  AAAA",
             "Signature AAAA", "Signature " + "A" * 200, "Signature !!!!"]
)  # fmt: skip
def test_authorization_of_another_form_is_refused(text: str) -> None:
    """Other schemes and sizes are no signature."""
    with pytest.raises(InvalidInput, match="authorization"):
        opened({"Authorization": text})


def test_signature_without_its_scheme_is_refused() -> None:
    """The word before the value is part of the form."""
    bare = SENT.headers["Authorization"].removeprefix("Signature ")

    for text in (bare, " " + bare, "signature " + bare, "Signature" + bare):
        with pytest.raises(InvalidInput, match="authorization"):
            opened({"Authorization": text})


def test_largest_key_id_body_and_answer_are_taken() -> None:
    """The limits themselves are allowed, the body's on both sides."""
    assert opened({"PublicKeyId": "2147483647"}).key_id == 2**31 - 1
    for size in (1, 1024 * 1024 - 28):
        sent = request.build_request(SERVER.public, 4001, DEVICE, b" " * size)
        assert request.open_request(sent.headers, sent.body, [SERVER]).payload == b" " * size
    with pytest.raises(InvalidInput, match="28 bytes, not 29"):
        opened(body=aead.seal(bytes(32), b""))
    longest = request.MAX_ANSWER_BYTES - 28
    assert len(SENT.open_answer(opened().seal_answer(bytes(longest)))) == longest


def test_eight_server_keys_are_tried() -> None:
    """A server may rotate often; the work for one request stays bounded."""
    request.open_request(SENT.headers, SENT.body, [OTHER] * 7 + [SERVER])

    with pytest.raises(UnknownServerKey):
        request.open_request(SENT.headers, SENT.body, [OTHER] * 8 + [SERVER])


def test_cut_transmission_key_is_refused() -> None:
    """No other length than 125 bytes is looked at (the padding alone may be missing)."""
    for cut in range(len(SENT.headers["TransmissionKey"]) - 1):
        with pytest.raises(InvalidInput, match="transmissionkey"):
            opened({"TransmissionKey": SENT.headers["TransmissionKey"][:cut]})


def test_changed_transmission_key_does_not_open() -> None:
    """A change at any place means that no key of ours fits."""
    for changed in list(flips(opened().wrapped_key)):
        with pytest.raises(UnknownServerKey):
            opened({"TransmissionKey": to_standard(changed)})


@pytest.mark.parametrize("changed", list(flips(SENT.body)))
def test_changed_body_does_not_open(changed: bytes) -> None:
    """A change at any place is noticed before the payload is read."""
    with pytest.raises(SealBroken):
        opened(body=changed)


@pytest.mark.parametrize("cut", range(len(SENT.body)))
def test_cut_body_does_not_open(cut: int) -> None:
    """A body cut at any place is refused."""
    with pytest.raises((InvalidInput, SealBroken)):
        opened(body=SENT.body[:cut])


def test_body_over_the_limit_is_refused_before_any_crypto() -> None:
    """The size alone decides, though the transmission key is of another server."""
    with pytest.raises(InvalidInput, match="1048577 bytes"):
        request.open_request(SENT.headers, bytes(request.MAX_REQUEST_BYTES + 1), [OTHER])


def test_signature_counts_for_its_sender_and_parts_only() -> None:
    """The control verifies; another key, wrapped key or body does not."""
    found = opened()
    found.verify_signature(DEVICE.public)

    with pytest.raises(SealBroken):
        found.verify_signature(OTHER.public)
    for wrapped_key, body in (
        (found.wrapped_key, SENT.body + b"x"),
        (found.wrapped_key[:-1], found.wrapped_key[-1:] + SENT.body),
        (ecies.seal(SERVER.public, found.transmission_key), SENT.body),
    ):
        with pytest.raises(SealBroken):
            request.verify_signature(DEVICE.public, found.signature, wrapped_key, body)


def test_signature_of_a_stranger_over_a_captured_request_is_refused() -> None:
    """Signing someone else's request again does not make it the owner's."""
    forged = OTHER.sign(opened().wrapped_key + SENT.body)
    found = opened({"Authorization": "Signature " + to_standard(forged)})

    with pytest.raises(SealBroken):
        found.verify_signature(DEVICE.public)
    found.verify_signature(OTHER.public)


def test_empty_answer_stays_empty() -> None:
    """Writes are answered with an empty body, not with a sealed empty text."""
    assert opened().seal_answer(b"") == b""
    assert SENT.open_answer(b"") == b""


@pytest.mark.parametrize("changed", list(flips(opened().seal_answer(b"an answer"))))
def test_changed_answer_does_not_open(changed: bytes) -> None:
    """A change at any place is noticed by the client."""
    with pytest.raises(SealBroken):
        SENT.open_answer(changed)


def test_answer_to_another_request_does_not_open() -> None:
    """An answer is bound to its request by the transmission key."""
    again = request.build_request(SERVER.public, 4001, DEVICE, b"{}")

    with pytest.raises(SealBroken):
        SENT.open_answer(request.seal_response(again.transmission_key, b"an answer"))


def test_over_long_answer_is_refused_by_the_server() -> None:
    """What no client would open is not sent."""
    with pytest.raises(InvalidInput, match="answer is longer"):
        request.seal_response(bytes(32), bytes(request.MAX_ANSWER_BYTES))


@given(
    headers=st.dictionaries(
        st.sampled_from(["PublicKeyId", "transmissionkey", "Authorization", "Other"]),
        st.text(max_size=40),
    ),
    body=st.binary(max_size=60),
)
def test_any_headers_and_body_give_a_documented_error(headers: dict[str, str], body: bytes) -> None:
    """Nothing else comes out, whatever a stranger posts."""
    with contextlib.suppress(InvalidInput, SealBroken):
        request.open_request(headers, body, [SERVER])


def test_repr_shows_no_key_and_no_payload() -> None:
    """Requests may be logged without showing what is inside."""
    for text in (repr(SENT), repr(opened())):
        assert repr(SENT.transmission_key) not in text
        assert '"a"' not in text
