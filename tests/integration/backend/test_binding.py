"""One-time tokens: used once, whoever tries at the same moment, and not after their time."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from commander.ksm.keys import P256PrivateKey
from commander.ksm.owner import owner_key
from commander.wire import calls
from commander.wire.calls import AuditRead
from tests.support.sdk_devices import RawDevice, SdkWorld, b64

pytestmark = pytest.mark.integration
_REFUSED = (403, {"error": "access_denied", "message": "signature or client is not valid"})


async def candidate(world: SdkWorld, client_id: bytes) -> tuple[int, Any]:
    """Somebody with the token and a key of their own."""
    device = RawDevice(world, client_id, P256PrivateKey.generate())
    return await device.call("get_secret", publicKey=b64(device.key.public.raw))


async def test_of_a_hundred_at_once_exactly_one_binds(world: SdkWorld) -> None:
    """All others get the stranger's answer; the loss is in the audit log."""
    token = await world.token()

    answers = await asyncio.gather(*(candidate(world, token.client_id) for _ in range(100)))

    winners = [answer for status, answer in answers if status == 200]
    assert len(winners) == 1
    assert [answer for answer in answers if answer[0] != 200] == [_REFUSED] * 99
    assert token.open_app_key(base64.b64decode(winners[0]["encryptedAppKey"])) == world.app_key
    assert base64.b64decode(winners[0]["appOwnerPublicKey"]) == owner_key(world.app_key).public.raw
    read = AuditRead(0, 0, 2**40, "", "token-refused", "", "", 500)
    events = await world.owner.api.call(calls.AUDIT_READ, read)
    assert len(events.events) == 99


async def test_bind_request_sent_again_by_a_thief_gives_nothing_new(world: SdkWorld) -> None:
    """A replay is answered under the first sender's key, until the device has read; then never."""
    token = await world.token()
    device = RawDevice(world, token.client_id, P256PrivateKey.generate())
    request = device.request(device.payload(publicKey=b64(device.key.public.raw)))
    first = await device.send("get_secret", request)
    again = await device.send("get_secret", request)
    assert first[1]["encryptedAppKey"] == again[1]["encryptedAppKey"]
    assert (await device.call("get_secret"))[1]["encryptedAppKey"] is None

    assert await device.send("get_secret", request) == _REFUSED


async def test_expired_token_binds_nobody(world: SdkWorld) -> None:
    """The server's clock decides, to the second; it is not used up by trying early or late."""
    token = await world.token(minutes=1)
    world.server.clock.advance(60)

    assert await candidate(world, token.client_id) == _REFUSED

    other = await world.token(minutes=1)
    world.server.clock.advance(59)
    assert (await candidate(world, other.client_id))[0] == 200


async def test_removed_token_binds_nobody(world: SdkWorld) -> None:
    """Removed before it was used."""
    token = await world.token()
    await world.vault.applications.remove_client(b64(token.client_id))

    assert await candidate(world, token.client_id) == _REFUSED


async def test_odd_filters_while_binding_are_answered_with_the_key(world: SdkWorld) -> None:
    """One client asks for a record that does not exist to find out whether its token is good."""
    token = await world.token()
    device = RawDevice(world, token.client_id, P256PrivateKey.generate())

    status, answer = await device.call(
        "get_secret", publicKey=b64(device.key.public.raw), requestedRecords=["A" * 22]
    )

    assert (status, answer["folders"]) == (200, [])
    assert answer["encryptedAppKey"]
