from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from commander.api.client import Api, Caller
from commander.api.transport import HttpAnswer, NotSent
from commander.authority.refusals import Code
from commander.clock import ManualClock
from commander.codec import Message, decode, encode
from commander.crypto.box import BoxPrivateKey
from commander.crypto.signing import SigningKey
from commander.errors import (
    CommanderError,
    Conflict,
    InvalidInput,
    NotFound,
    NotLoggedIn,
    Refused,
    SealBroken,
    Tampered,
    Unreachable,
)
from commander.wire import calls
from commander.wire.known_server import KnownServer
from commander.wire.requests import (
    Answer,
    SignedRequest,
    open_request,
    read_header,
    seal_answer,
    verify_request,
)

BOX = BoxPrivateKey.generate()
DEVICE = SigningKey(bytes(range(32)))
SERVER = KnownServer(
    "vault.example:8443", "u" * 22, SigningKey(bytes(32)).public.raw, BOX.public.raw, ""
)
STATE = calls.SessionState("user", "device", 9, 8)

Judge = Callable[[SignedRequest], Answer]


class FakeServer:
    """Opens requests and seals answers as a server does; may fail first."""

    def __init__(self, judge: Judge, *failures: CommanderError) -> None:
        self.judge = judge
        self.failures = list(failures)
        self.requests: list[SignedRequest] = []
        self.mangle: Callable[[HttpAnswer], HttpAnswer] = lambda answer: answer
        self.is_closed = False

    async def post(self, path: str, body: bytes, *, timeout_s: float) -> HttpAnswer:
        request, key = open_request(BOX, body, method="POST", path=path)
        self.requests.append(request)
        if self.failures:
            raise self.failures.pop(0)
        return self.mangle(HttpAnswer(200, seal_answer(key, body, self.judge(request))))

    async def get(self, path: str, *, timeout_s: float) -> HttpAnswer:
        raise AssertionError("a client posts")

    async def close(self) -> None:
        self.is_closed = True


def ok(message: Message) -> Judge:
    return lambda request: Answer(True, encode(message), "", "", "")


def no(code: str, message: str = "no", hint: str = "") -> Judge:
    return lambda request: Answer(False, b"", code, message, hint)


def client(server: FakeServer, *, caller: Caller | None = None) -> Api:
    return Api(server, SERVER, clock=ManualClock(), caller=caller, rng=Random(1))


def device() -> Caller:
    return Caller("device", "session", DEVICE)


async def test_call_is_signed_and_answered() -> None:
    """The server can check who asks, and the answer has its type."""
    server = FakeServer(ok(STATE))

    assert await client(server, caller=device()).call(calls.SESSION, calls.Empty()) == STATE

    request = server.requests[0]
    verify_request(request, DEVICE.public, method="POST", path="/api/v1/session")
    assert (request.principal, request.session) == ("device", "session")


async def test_signed_call_without_a_caller_is_not_sent() -> None:
    """It names the way out: logging in."""
    server = FakeServer(ok(STATE))

    with pytest.raises(NotLoggedIn):
        await client(server).call(calls.SESSION, calls.Empty())

    assert not server.requests


async def test_own_proof_call_is_not_signed() -> None:
    """Set-up, invitation and login carry their own proof."""
    server = FakeServer(ok(calls.ChallengeAnswer("l", b"c")))

    await client(server, caller=device()).call(
        calls.LOGIN_CHALLENGE, calls.ChallengeRequest("ann@example.org")
    )

    assert server.requests[0].principal == ""
    assert server.requests[0].signature == b""


async def test_reading_is_repeated_with_a_new_nonce() -> None:
    """A lost answer of a reading call costs a repetition, signed anew."""
    server = FakeServer(ok(STATE), Unreachable("broke"), Unreachable("broke"))

    assert await client(server, caller=device()).call(calls.SESSION, calls.Empty()) == STATE

    assert len({request.nonce for request in server.requests}) == 3


async def test_commit_is_not_repeated_when_it_may_have_arrived() -> None:
    """Only the vault can find out whether it did."""
    server = FakeServer(ok(calls.CommitAnswer(1, 1)), Unreachable("broke"))

    with pytest.raises(Unreachable):
        await client(server, caller=device()).call(calls.COMMIT, calls.Commit())

    assert len(server.requests) == 1


async def test_commit_that_was_not_sent_is_repeated() -> None:
    """A refused connection is safe to try again."""
    server = FakeServer(ok(calls.CommitAnswer(1, 1)), NotSent("refused"))

    answer = await client(server, caller=device()).call(calls.COMMIT, calls.Commit())

    assert answer == calls.CommitAnswer(1, 1)


async def test_repeating_ends() -> None:
    """After a few tries the failure itself is raised."""
    server = FakeServer(ok(STATE), *(Unreachable(f"broke {n}") for n in range(10)))

    with pytest.raises(Unreachable, match="broke 3"):
        await client(server, caller=device()).call(calls.SESSION, calls.Empty())


async def test_a_server_that_nobody_answers_for_is_not_waited_for_again() -> None:
    """One connection attempt that took its whole time is enough: its failure is raised."""
    clock = ManualClock()

    class Silent(FakeServer):
        async def post(self, path: str, body: bytes, *, timeout_s: float) -> HttpAnswer:
            clock.advance(10)
            return await super().post(path, body, timeout_s=timeout_s)

    server = Silent(ok(STATE), *(NotSent(f"no answer {n}") for n in range(10)))
    api = Api(server, SERVER, clock=clock, caller=device(), rng=Random(1))

    with pytest.raises(NotSent, match="no answer 0"):
        await api.call(calls.SESSION, calls.Empty())


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (Code.SESSION_EXPIRED, NotLoggedIn),
        (Code.LOG_MOVED, Conflict),
        (Code.REVISION_CONFLICT, Conflict),
        (Code.STATEMENT_DUPLICATE, Conflict),
        (Code.OBJECT_UNKNOWN, NotFound),
        (Code.REQUEST_MALFORMED, InvalidInput),
        (Code.POLICY_MISSING, Refused),
        (Code.LOGIN_FAILED, Refused),
        ("conflict", Conflict),
        ("never-heard-of", CommanderError),
    ],
)
async def test_codes_become_errors_once(code: str, kind: type[CommanderError]) -> None:
    """Type and exit code follow the server's code, which stays readable."""
    server = FakeServer(no(code, "because", "do this"))

    with pytest.raises(kind) as caught:
        await client(server, caller=device()).call(calls.COMMIT, calls.Commit())

    assert (caught.value.code, caught.value.message, caught.value.hint) == (
        code, "because", "do this",
    )  # fmt: skip
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (HttpAnswer(200, b"\x00" * 100), Tampered),
        (HttpAnswer(200, b""), Tampered),
        (HttpAnswer(502, b"<html>"), Unreachable),
        (HttpAnswer(413, b""), InvalidInput),
        (HttpAnswer(400, b"bad request"), InvalidInput),
    ],
)
async def test_answers_outside_the_seal_are_told_apart(
    answer: HttpAnswer, kind: type[CommanderError]
) -> None:
    """A proxy's page is no answer, and no answer is taken for one."""
    server = FakeServer(ok(calls.CommitAnswer(1, 1)))
    server.mangle = lambda _: answer

    with pytest.raises(kind):
        await client(server, caller=device()).call(calls.COMMIT, calls.Commit())


async def test_answer_of_another_request_does_not_open() -> None:
    """A replayed answer is named."""
    server = FakeServer(ok(calls.CommitAnswer(1, 1)))
    kept: list[HttpAnswer] = []

    def replay(answer: HttpAnswer) -> HttpAnswer:
        kept.append(answer)
        return kept[0]

    server.mangle = replay
    api = client(server, caller=device())
    await api.call(calls.COMMIT, calls.Commit())

    with pytest.raises(Tampered):
        await api.call(calls.COMMIT, calls.Commit())


async def test_answer_of_another_form_is_named() -> None:
    """A sealed answer that is not of the call's type."""
    server = FakeServer(ok(calls.ChallengeAnswer("l", b"c")))

    with pytest.raises(Tampered):
        await client(server, caller=device()).call(calls.COMMIT, calls.Commit())


async def test_upgrade_header_is_signed_for_its_path() -> None:
    """It opens no other path."""
    name, value = client(FakeServer(ok(STATE)), caller=device()).upgrade_header("/api/v1/router")

    request = read_header(value)
    assert name == "x-commander-authorization"
    verify_request(request, DEVICE.public, method="GET", path="/api/v1/router")
    with pytest.raises(SealBroken):
        verify_request(request, DEVICE.public, method="GET", path="/api/v1/relay/x")


async def test_close_reaches_the_transport() -> None:
    """Connections do not outlive the client."""
    server = FakeServer(ok(STATE))

    await client(server).close()

    assert server.is_closed


def test_requests_are_decoded_as_sent() -> None:
    """The body of a request is the message's only form."""
    request = calls.ChallengeRequest("ann@example.org")

    assert decode(calls.ChallengeRequest, encode(request)) == request
