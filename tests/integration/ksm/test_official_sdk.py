"""The official Python SDK, unmodified, against our wire format over TLS with a server key of ours."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from keeper_secrets_manager_core import SecretsManager  # type: ignore[import-untyped]
from keeper_secrets_manager_core.configkeys import ConfigKeys  # type: ignore[import-untyped]
from keeper_secrets_manager_core.exceptions import KeeperError  # type: ignore[import-untyped]
from keeper_secrets_manager_core.storage import (  # type: ignore[import-untyped]
    InMemoryKeyValueStorage,
)

from commander.crypto.encoding import to_base64url
from commander.ksm.config import DeviceConfig
from commander.ksm.keys import P256PrivateKey
from tests.support.servers.device_api import KEY_ID, DeviceApi

pytestmark = pytest.mark.integration


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DeviceApi]:
    """A running server whose authority the SDK trusts."""
    for name in [name for name in os.environ if name.startswith("KSM_")]:
        monkeypatch.delenv(name)
    with DeviceApi(tmp_path) as api:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(api.ca_file))
        yield api


def bind(api: DeviceApi, storage: Any) -> Any:
    """The SDK with a one-time token."""
    return SecretsManager(
        token=api.token.text,
        hostname=api.hostname,
        config=storage,
        server_public_key=to_base64url(api.key.public.raw),
        server_public_key_id=str(KEY_ID),
    )


def bound_config(api: DeviceApi) -> DeviceConfig:
    """Bind, and return the configuration the SDK ended up with."""
    storage = InMemoryKeyValueStorage()
    bind(api, storage).get_secrets()
    values = {key.value: value for key, value in storage.config.items()}
    return DeviceConfig(
        hostname=api.hostname,
        client_id=api.token.client_id,
        server_key_id=KEY_ID,
        server_public_key=api.key.public,
        private_key=DeviceConfig.parse(_as_json(values)).private_key,
        app_key=api.app_key,
        app_owner_public_key=api.owner.public,
    )


def _as_json(values: dict[str, str]) -> str:
    return "{" + ", ".join(f'"{key}": "{value}"' for key, value in values.items()) + "}"


def test_sdk_binds_with_our_token_and_reads_a_record(api: DeviceApi) -> None:
    """Token, client id, application key, folder and record go through the SDK's own code."""
    storage = InMemoryKeyValueStorage()

    response = bind(api, storage).get_secrets(full_response=True)

    (record,) = response.records
    assert (record.uid, record.title) == (api.record_uid, "Orders DB")
    assert record.field("password", single=True) == "pass wörd"
    assert response.appData.title == "Orders"
    assert storage.get(ConfigKeys.KEY_CLIENT_KEY) is None
    first, second = api.requests
    assert first.public_key is not None
    assert second.public_key is None


def test_sdk_reads_with_the_configuration_we_issue(api: DeviceApi) -> None:
    """The base64 form is all that an SDK needs; filters arrive."""
    config = InMemoryKeyValueStorage(bound_config(api).to_base64())

    records = SecretsManager(config=config).get_secrets([api.record_uid])

    assert [record.title for record in records] == ["Orders DB"]
    assert api.requests[-1].records == (api.record_uid,)
    assert SecretsManager(config=config).get_secrets(["AAAAAAAAAAAAAAAAAAAAAA"]) == []


def test_configuration_the_sdk_made_is_read_by_ours(api: DeviceApi) -> None:
    """What an SDK stores after binding has the form we parse."""
    storage = InMemoryKeyValueStorage()
    bind(api, storage).get_secrets()

    values = {key.value: value for key, value in storage.config.items()}
    found = DeviceConfig.parse(_as_json(values))

    assert found.app_key == api.app_key
    assert found.client_id == api.token.client_id
    assert found.app_owner_public_key == api.owner.public


def test_second_device_with_the_same_token_is_refused(api: DeviceApi) -> None:
    """The SDK shows our error code; the first device still works."""
    config = bound_config(api)

    with pytest.raises(KeeperError, match="access_denied"):
        bind(api, InMemoryKeyValueStorage()).get_secrets()
    storage = InMemoryKeyValueStorage(config.to_base64())
    assert len(SecretsManager(config=storage).get_secrets()) == 1


def test_sdk_with_another_server_key_stops_with_our_text(api: DeviceApi) -> None:
    """A stale key of ours is answered so that the SDK stops and does not try for ever."""
    bound = bound_config(api)
    stale = DeviceConfig(
        bound.hostname, bound.client_id, KEY_ID, P256PrivateKey.generate().public,
        bound.private_key, bound.app_key,
    )  # fmt: skip

    with pytest.raises(KeeperError, match="get a new config"):
        SecretsManager(config=InMemoryKeyValueStorage(stale.to_base64())).get_secrets()


def test_sdk_without_our_key_is_told_which_key_we_have(api: DeviceApi) -> None:
    """An SDK that used a built-in key stops with an error that names ours."""
    plain = SecretsManager(
        token=api.token.text, hostname=api.hostname, config=InMemoryKeyValueStorage()
    )

    with pytest.raises(ValueError, match=f"public key at {KEY_ID} does not exist"):
        plain.get_secrets()
