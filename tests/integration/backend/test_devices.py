"""The device API as an SDK meets it when something is wrong."""

from __future__ import annotations

import json

import pytest

from commander.backend.http.body import BodyRefused
from commander.backend.http.devices import _body_error
from commander.backend.limits import DEVICE_BODY
from commander.ksm.keys import P256PrivateKey
from commander.ksm.request import PATH_PREFIX, build_request
from tests.support.backend_devices import (
    Application,
    Device,
)
from tests.support.backend_server import BackendServer

pytestmark = pytest.mark.integration


async def test_forged_signature_wrong_client_and_unknown_endpoint_are_refused(
    server: BackendServer, application: Application
) -> None:
    """Each mistake gets the SDK's own kind of error, without a hint at what exists."""
    vault = application.owner.vault
    token = await vault.applications.add_client(application.uid, "CI", ip_lock=False)
    key = P256PrivateKey.generate()
    device = Device(server, token.token.client_id, key)
    unbound, _ = await device.ask()
    await device.ask(public_key=key.public)

    forged, text = await device.ask(signer=P256PrivateKey.generate())
    unknown, same = await Device(server, bytes(64), key).ask()
    client = server.http()
    later = await client.post(PATH_PREFIX + "create_secret", content=b"x")
    none = await client.post(PATH_PREFIX + "nonsense", content=b"x")
    await client.aclose()

    assert (unbound, forged, unknown) == (403, 403, 403)
    assert text == same
    assert later.json()["error"] == "bad_request"
    assert none.json()["error"] == "not_found"
    assert (await device.ask())[0] == 200


async def test_bodies_that_are_not_read_are_told_in_the_form_of_sdks(
    server: BackendServer, application: Application
) -> None:
    """Too long, and more than memory has room for: JSON with a code, and the connection ends."""
    client = server.http()
    large = await client.post(PATH_PREFIX + "get_secret", content=bytes(DEVICE_BODY + 1))
    await client.aclose()

    assert (large.status_code, large.json()["error"]) == (413, "bad_request")
    assert large.headers["connection"] == "close"
    busy = _body_error(BodyRefused(503, "the server is too busy", retry_after_s=5))
    assert busy.headers["retry-after"] == "5"
    assert json.loads(bytes(busy.body))["error"] == "server_error"


async def test_many_calls_of_one_device_are_throttled_as_sdks_understand(
    server: BackendServer, application: Application
) -> None:
    """Status 403, `throttled` and when to come back; a second later it goes on."""
    vault = application.owner.vault
    token = await vault.applications.add_client(application.uid, "CI", ip_lock=False)
    key = P256PrivateKey.generate()
    device = Device(server, token.token.client_id, key)
    await device.ask(public_key=key.public)

    answers = [await device.ask() for _ in range(101)]
    server.clock.advance(1)

    status, body = answers[-1]
    assert (status, body["error"]) == (403, "throttled")
    assert body["retry_after"] > 0
    assert (await device.ask())[0] == 200


async def test_request_for_a_key_that_sdks_carry_inside_is_told_ours(
    server: BackendServer, application: Application
) -> None:
    """So that an SDK without our key says so, instead of trying for ever."""
    identity = server.core.identity
    foreign = P256PrivateKey.generate()
    client = server.http()
    found = []
    for key_id in (10, identity.ksm_key_id):
        request = build_request(foreign.public, key_id, foreign, b"{}")
        found.append(
            await client.post(
                PATH_PREFIX + "get_secret", content=request.body, headers=request.headers
            )
        )
    await client.aclose()

    assert (found[0].json()["error"], found[0].json()["key_id"]) == ("key", identity.ksm_key_id)
    assert found[1].json()["error"] == "access_denied"
