from __future__ import annotations

import asyncio

import pytest

from commander.errors import Refused, Unreachable
from commander.hosting.conversation import Accepted
from commander.hosting.direct import DirectKind
from commander.tunnel.path import KIND_DIRECT
from commander.tunnel.transports import direct
from commander.wire.commands import OfferAnswer
from tests.support.tunnels import conversation_keys

pytestmark = pytest.mark.integration


def accepted(answer: bytes) -> Accepted:
    return Accepted("c", conversation_keys(), OfferAnswer((KIND_DIRECT,), b"", "target", answer))


async def test_carriers_come_up_from_the_answer() -> None:
    """Whatever carrier is asked for first."""
    kind = DirectKind()
    gateway = direct.answer(kind.offer, reception=None, advertised=("", 0), permit=lambda: True)
    answer = accepted(gateway.wire)
    made = asyncio.gather(*(kind.make(answer, number) for number in range(direct.COUNT)))
    theirs = await asyncio.gather(*(gateway.path(number) for number in range(direct.COUNT)))
    paths = [path for path, _ in await made] + list(theirs)
    assert {path.kind for path in paths} == {KIND_DIRECT}
    for path in paths:
        await path.close()
    await kind.close()
    await gateway.close()


async def test_a_gateway_without_direct_paths_is_a_coded_refusal() -> None:
    """The hint names the paths that are left."""
    kind = DirectKind()
    with pytest.raises(Refused) as refused:
        await kind.make(accepted(b""), 0)
    assert refused.value.code == "path-forbidden"
    await kind.close()


async def test_an_answer_of_another_version_is_no_path() -> None:
    """It was sealed by the gateway, so it is no attack: the path is not there."""
    kind = DirectKind()
    with pytest.raises(Unreachable, match="can't be read"):
        await kind.make(accepted(b"from the future"), 0)
    await kind.close()


async def test_closing_gives_up_who_waits() -> None:
    """Another path was better, or the tunnel was stopped."""
    kind = DirectKind()
    gateway = direct.answer(kind.offer, reception=None, advertised=("", 0), permit=lambda: False)
    waiting = asyncio.gather(kind.make(accepted(gateway.wire), 1), return_exceptions=True)
    await asyncio.sleep(0)
    await kind.close()
    async with asyncio.timeout(20):
        assert [type(found) for found in await waiting] == [Unreachable]
    await gateway.close()
