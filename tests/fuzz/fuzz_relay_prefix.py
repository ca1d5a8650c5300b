"""The first bytes of a relay stream, from anybody, and what a relay answers."""

from __future__ import annotations

from commander.errors import InvalidInput
from commander.wire.relay import (
    MAX_AUTHORIZATION,
    MAX_CONVERSATION,
    PREFIX_LIMIT,
    RelayAnswer,
    RelayPrefix,
    find_farewell,
    may_be_farewell,
    read_answer,
    read_prefix,
    write_answer,
    write_farewell,
    write_prefix,
)

NAME = "relay-prefix"


def seeds() -> list[bytes]:
    """One of each."""
    return [
        write_prefix(RelayPrefix("c" * 22, "0f" * 200)),
        write_prefix(RelayPrefix("", "")),
        write_answer(RelayAnswer(0)),
        write_answer(RelayAnswer(401, "request-replayed")),
        b"half a message" + write_farewell(4010),
    ]


def fuzz(data: bytes) -> None:
    """What is read is within its bounds, writes back to the same bytes, and no prefix of it is one."""
    try:
        found = read_prefix(data)
    except InvalidInput:
        found = None
    if found is not None:
        prefix, size = found
        assert size <= PREFIX_LIMIT
        assert len(prefix.conversation) <= MAX_CONVERSATION
        assert len(prefix.authorization) <= MAX_AUTHORIZATION
        assert write_prefix(prefix) == data[:size]
        assert read_prefix(data[: size - 1]) is None
    elif len(data) > PREFIX_LIMIT:
        # Whoever sends more than a prefix is known as a stranger by then.
        try:
            read_prefix(data)
        except InvalidInput:
            pass
        else:
            raise AssertionError("bytes past the limit are still waited for")
    try:
        answer = read_answer(data)
    except InvalidInput:
        answer = None
    if answer is not None:
        assert write_answer(answer[0]) == data[: answer[1]]
    code = find_farewell(data)
    assert code is None or write_farewell(code) == data[-16:]
    may_be_farewell(data[:24])
