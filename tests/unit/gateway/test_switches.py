from __future__ import annotations

import pytest

from commander.authority.refusals import Code
from commander.errors import Refused
from commander.gateway.records import open_sealed_record, take_apart
from commander.gateway.switches import OpenRecord, allowed_kinds, check_revisions, linked_uids
from commander.ksm.payloads import GetSecretRequest
from commander.wire.pam import ConfigurationSettings, ResourceSettings, TunnelSettings
from tests.support.gateway_world import World


async def opened(world: World) -> OpenRecord:
    """The world's record, read without a reader."""
    answer = await world.server.get_secret(
        GetSecretRequest(bytes(64), records=(world.record.uid,), seals=True)
    )
    sealed = take_apart(answer, world.app_key)[world.record.uid]
    assert not isinstance(sealed, Refused)
    return open_sealed_record(world.enterprise.state, sealed, None)


@pytest.mark.parametrize(
    ("record", "settings", "is_behind"),
    [(1, 1, False), (0, 0, False), (2, 1, True), (1, 2, True)],
)
async def test_only_newer_revisions_of_the_client_are_behind(
    world: World, record: int, settings: int, is_behind: bool
) -> None:
    """A client that has seen less is served, one that has seen more is told to wait."""
    found = await opened(world)

    if not is_behind:
        check_revisions(found, record_revision=record, settings_revision=settings)
        return
    with pytest.raises(Refused) as caught:
        check_revisions(found, record_revision=record, settings_revision=settings)
    assert caught.value.code == Code.RECORD_BEHIND


async def test_links_are_configuration_and_credentials(world: World) -> None:
    """What the settings name, without empty names."""
    assert linked_uids(await opened(world)) == (world.configuration.uid,)


@pytest.mark.parametrize(
    ("offered", "record", "configuration", "kinds"),
    [
        (("relay",), (), (), ("relay",)),
        (("webrtc", "relay"), (), (), ("webrtc", "relay")),
        (("relay", "relay", "webrtc"), (), (), ("relay", "webrtc")),
        (("webrtc", "relay"), ("relay",), (), ("relay",)),
        (("webrtc", "relay"), (), ("webrtc",), ("webrtc",)),
        (("webrtc", "relay"), ("relay",), ("webrtc",), ()),
        (("direct",), (), (), ()),
        ((), (), (), ()),
    ],
)
def test_paths_are_what_everyone_allows(
    offered: tuple[str, ...],
    record: tuple[str, ...],
    configuration: tuple[str, ...],
    kinds: tuple[str, ...],
) -> None:
    """In the client's order, each once; nothing left is path-forbidden."""
    settings = ResourceSettings(tunnel=TunnelSettings(enabled=True), paths=record)
    switches = ConfigurationSettings("g", paths=configuration)

    if kinds:
        assert allowed_kinds(offered, ("relay", "webrtc"), settings, switches) == kinds
        return
    with pytest.raises(Refused) as caught:
        allowed_kinds(offered, ("relay", "webrtc"), settings, switches)
    assert caught.value.code == Code.PATH_FORBIDDEN
