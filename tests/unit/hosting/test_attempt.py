from __future__ import annotations

import asyncio

import pytest

from commander.api.client import Api
from commander.clock import SystemClock
from commander.errors import CommanderError, InvalidInput, SealBroken, Unreachable
from commander.hosting.attempt import Attempt, first_verified, next_first
from commander.hosting.conversation import Accepted
from commander.hosting.paths import BeginKind, KindAttempt, PathNetwork
from commander.tunnel.codes import Role
from commander.tunnel.engine import TunnelEnd
from commander.tunnel.path import Binding, Path
from commander.tunnel.seal import MAX_GENERATION
from commander.tunnel.transports.memory import memory_paths
from commander.wire.commands import OfferAnswer
from tests.support.kept_tunnels import SERVER, NoTransport
from tests.support.tunnels import conversation_keys


class Kind:
    """A kind whose carriers come up, or raise."""

    def __init__(self, offer: bytes = b"", error: CommanderError | None = None) -> None:
        self.offer = offer
        self.error = error
        self.far_ends: dict[int, Path] = {}
        self.closed = 0

    async def make(self, accepted: Accepted, carrier: int) -> tuple[Path, Binding]:
        if self.error is not None:
            raise self.error
        near, self.far_ends[carrier] = memory_paths()
        return near, Binding()

    async def close(self) -> None:
        self.closed += 1


def network(**kinds: Kind | CommanderError) -> PathNetwork:
    """These kinds; an error is raised when one is begun."""

    def begin(kind: Kind | CommanderError) -> BeginKind:
        async def begun(network: PathNetwork) -> KindAttempt:
            if isinstance(kind, CommanderError):
                raise kind
            return kind

        return begun

    api = Api(NoTransport(), SERVER, clock=SystemClock())
    return PathNetwork(api, {}, {name: begin(kind) for name, kind in kinds.items()})


def accepted(*kinds: str) -> Accepted:
    return Accepted("c" * 22, conversation_keys(), OfferAnswer(kinds, b"", ""))


async def test_the_offer_names_what_can_be_offered() -> None:
    """A kind that can't be begun is left out, and the others' parts are in their places."""
    turn, direct = Kind(b"turn"), Kind(b"direct")
    attempt = await Attempt.begin(
        ("relay", "direct", "turn"),
        network(relay=Unreachable("no"), direct=direct, turn=turn),
        7,
    )

    assert attempt.kinds == ("direct", "turn")
    assert (attempt.offer.direct, attempt.offer.webrtc) == (b"direct", b"turn")
    assert attempt.numbers == {"direct": range(7, 11), "turn": range(11, 12)}
    await attempt.close()
    assert (turn.closed, direct.closed) == (1, 1)


async def test_with_nothing_to_offer_the_reason_is_raised() -> None:
    """That of the last kind; a kind that this program does not know is one."""
    with pytest.raises(Unreachable, match="no port"):
        await Attempt.begin(("pigeon", "direct"), network(direct=Unreachable("no port")), 1)
    with pytest.raises(Unreachable, match="opens no pigeon paths"):
        await Attempt.begin(("pigeon",), network(), 1)


async def test_each_kind_tells_how_it_went_and_the_first_is_enough() -> None:
    """Carriers get the numbers of their kind; what failed is told with its error."""
    relay, direct = Kind(), Kind(error=Unreachable("blocked"))
    attempt = await Attempt.begin(("relay", "direct"), network(relay=relay, direct=direct), 5)
    told: dict[str, CommanderError | None] = {}
    client = TunnelEnd(Role.CLIENT, conversation_keys())
    gateway = TunnelEnd(Role.GATEWAY, conversation_keys())

    tasks = attempt.attach(client, accepted("relay", "direct", "webrtc"), told.__setitem__)
    while 0 not in relay.far_ends:
        await asyncio.sleep(0)
    await gateway.attach(relay.far_ends[0], generation=5, group=5)
    await first_verified(tasks)
    await attempt.settled()

    assert told["relay"] is None
    assert isinstance(told["direct"], Unreachable)
    assert [link.generation for link in client.links()] == [5]
    await attempt.close()
    assert not client.closed.done()
    await client.close()
    await gateway.close()


async def test_an_answer_without_any_offered_kind_is_an_error() -> None:
    """Nothing is waited for."""
    attempt = await Attempt.begin(("relay",), network(relay=Kind()), 1)
    end = TunnelEnd(Role.CLIENT, conversation_keys())

    with pytest.raises(Unreachable, match="accepted no kind"):
        await first_verified(attempt.attach(end, accepted("direct")))
    await attempt.close()
    await end.close()


@pytest.mark.parametrize("worse", [SealBroken(), InvalidInput("a lie")])
async def test_a_far_end_that_is_not_the_gateway_is_what_is_told(worse: CommanderError) -> None:
    """Before a path that was merely not reached, in whatever order they fail."""

    async def fails(error: CommanderError) -> None:
        raise error

    for errors in ([worse, Unreachable("x")], [Unreachable("x"), worse]):
        with pytest.raises(type(worse)):
            await first_verified([asyncio.create_task(fails(error)) for error in errors])


def test_generations_go_on_and_begin_again() -> None:
    """After the highest from 1, past those in use."""
    assert next_first(6, ("relay", "direct"), []) == 6
    assert next_first(MAX_GENERATION - 4, ("relay", "direct"), []) == MAX_GENERATION - 4
    assert next_first(MAX_GENERATION - 3, ("relay", "direct"), []) == 1
    assert next_first(MAX_GENERATION, ("direct",), [2, 3, 9]) == 4
    assert next_first(1, ("relay",), [1, 2]) == 3
