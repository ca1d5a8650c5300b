from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.errors import CommanderError, InvalidInput, NotFound, Refused, SealBroken
from commander.ksm.errors import (
    MAX_ERROR_BYTES,
    DeviceRefused,
    ErrorAnswer,
    ErrorCode,
    UnknownServerKey,
    answer_for,
    parse_error,
)


@given(code=st.sampled_from(ErrorCode), message=st.text(max_size=400))
def test_every_answer_is_short_json_that_reads_back(code: ErrorCode, message: str) -> None:
    """Whatever the message holds, SDKs that read 999 bytes get whole JSON with the code."""
    answer = ErrorAnswer(code, message, key_id=2**31 - 1, retry_after_s=86_400)

    body = answer.body()

    assert len(body) <= MAX_ERROR_BYTES
    assert json.loads(body)["error"] == code.value
    assert parse_error(answer.status, body).code == code.value


@pytest.mark.parametrize("filler", ["\U0001f600", "\x00", '"', "é"])
def test_longest_messages_fit(filler: str) -> None:
    """Characters that JSON writes with up to twelve bytes do not break the limit."""
    assert len(ErrorAnswer(ErrorCode.KEY, filler * 1000, key_id=1).body()) <= MAX_ERROR_BYTES


def test_short_message_is_kept() -> None:
    """A message of usual length arrives unchanged, with the numbers of its code."""
    body = ErrorAnswer(ErrorCode.THROTTLED, "too fast", retry_after_s=11).body()

    assert json.loads(body) == {"error": "throttled", "message": "too fast", "retry_after": 11}


def test_statuses_are_the_published_ones() -> None:
    """SDKs try again on 403 with "throttled" only; the others say what kind of trouble it is."""
    assert {code.value: ErrorAnswer(code, "").status for code in ErrorCode} == {
        "access_denied": 403, "bad_request": 400, "key": 401, "throttled": 403,
        "not_found": 404, "out_of_sync": 400, "server_error": 500,
        "record_uid_not_found": 400, "folder_uid_not_found": 400,
    }  # fmt: skip


def test_verified_device_is_told_the_reason() -> None:
    """With the code it was refused with; codes of elsewhere are told like any refusal."""
    refused = DeviceRefused("record x is at revision 2", code=ErrorCode.OUT_OF_SYNC)
    other = DeviceRefused("elsewhere", code="http-500")

    answer = answer_for(refused, server_key_id=4001)

    assert (answer.code, answer.message) == (ErrorCode.OUT_OF_SYNC, "record x is at revision 2")
    assert answer_for(other, server_key_id=4001).code is ErrorCode.ACCESS_DENIED


def test_texts_are_cut_at_their_limits() -> None:
    """200 characters of message, 64 of code, 16 KiB of answer."""
    body = json.loads(ErrorAnswer(ErrorCode.KEY, "x" * 300, key_id=1).body())
    assert body["message"] == "x" * 200

    read = parse_error(400, json.dumps({"error": "c" * 99, "message": "m" * 300}).encode())
    assert (read.code, read.message.count("m")) == ("c" * 64, 200)
    fits = b'{"error": "c"}'.ljust(16 * 1024)
    assert parse_error(400, fits).code == "c"
    assert parse_error(400, fits + b" ").code == "http-400"


@pytest.mark.parametrize("key_id", [1, 10, 20])
def test_key_answer_goes_to_clients_with_a_built_in_key(key_id: int) -> None:
    """Such a client holds no key of ours: it is told ours."""
    answer = answer_for(UnknownServerKey(key_id), server_key_id=4001)

    assert (answer.code, answer.key_id) == (ErrorCode.KEY, 4001)


@pytest.mark.parametrize("key_id", [21, 4000, 4001, 2**31 - 1])
def test_key_answer_never_goes_to_clients_with_a_key_of_ours(key_id: int) -> None:
    """Told "key" again and again, some SDKs would never stop."""
    answer = answer_for(UnknownServerKey(key_id), server_key_id=4001)

    assert (answer.code, answer.key_id) == (ErrorCode.ACCESS_DENIED, None)
    assert "new config" in answer.message


def test_unknown_client_and_wrong_signature_look_the_same() -> None:
    """A stranger does not learn which clients exist."""
    answers = {
        answer_for(error, server_key_id=4001)
        for error in (SealBroken(), NotFound("no client x"), Refused("expired", code="x"))
    }

    assert len(answers) == 1
    assert answers.pop().code is ErrorCode.ACCESS_DENIED


def test_other_errors_get_their_own_codes() -> None:
    """A bad form is named; our own trouble is not."""
    bad = answer_for(InvalidInput("clientId is not base64"), server_key_id=4001)
    own = answer_for(CommanderError("disk /var/x is full"), server_key_id=4001)

    assert (bad.code, bad.message) == (ErrorCode.BAD_REQUEST, "clientId is not base64")
    assert own.code is ErrorCode.SERVER_ERROR
    assert "disk" not in own.message


def test_real_error_is_read() -> None:
    """The form of the one captured answer of a real server."""
    error = parse_error(403, b'{"error":"access_denied","message":"Signature is invalid"}')

    assert error.code == "access_denied"
    assert str(error) == "server refused the device: Signature is invalid (access_denied)"


def test_result_code_wins_over_error() -> None:
    """When both are there, SDKs take the first, and so do we."""
    error = parse_error(400, b'{"error":"a","result_code":"b","additional_info":"more"}')

    assert (error.code, str(error)) == ("b", "server refused the device: more (b)")


@pytest.mark.parametrize("body", [b"", b"<html>502</html>", b"[]", b'{"error":1}', b"x" * 20_000])
def test_answer_of_another_form_gives_an_error_with_the_status(body: bytes) -> None:
    """A proxy's page is an error too."""
    error = parse_error(502, body)

    assert isinstance(error, DeviceRefused)
    assert error.code == "http-502"


def test_control_characters_of_a_server_do_not_reach_a_terminal() -> None:
    """Text from outside is cut and made printable."""
    body = json.dumps({"error": "x\x1b[2J", "message": "a\nb\x1b]0;t\x07" + "c" * 1000}).encode()

    error = parse_error(400, body)

    assert str(error).isprintable()
    assert error.code.isprintable()
    assert len(str(error)) < 300


@given(body=st.binary(max_size=100))
def test_any_body_gives_an_error_to_raise(body: bytes) -> None:
    """Reading an error never fails."""
    assert isinstance(parse_error(500, body), DeviceRefused)
