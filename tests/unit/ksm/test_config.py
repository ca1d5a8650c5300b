from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.errors import InvalidInput
from commander.ksm.config import MAX_CONFIG_BYTES, DeviceConfig, GatewayConfig
from tests.support.vectors import load

OWN = load("own/ksm")[0]
DEVICE = DeviceConfig.parse(OWN["device_config"])
GATEWAY = GatewayConfig.parse(OWN["gateway_config"])
SEVEN = {
    "hostname", "clientId", "privateKey", "appKey", "appOwnerPublicKey", "serverPublicKeyId",
    "serverPublicKey",
}  # fmt: skip


def device_json(**changes: Any) -> str:
    """The device configuration with values changed, or left out when `...`."""
    merged = json.loads(DEVICE.to_json()) | changes
    return json.dumps({name: value for name, value in merged.items() if value is not ...})


def gateway_json(**changes: Any) -> str:
    """The gateway configuration with values of its `commander` object changed."""
    whole = json.loads(GATEWAY.to_json())
    whole["commander"] |= changes
    whole["commander"] = {k: v for k, v in whole["commander"].items() if v is not ...}
    return json.dumps(whole)


def test_recorded_configurations_are_read() -> None:
    """What was handed out in the past still works."""
    assert DEVICE.hostname == "pam.example:8443"
    assert DEVICE.private_key.pkcs8().hex() == OWN["device"]
    assert DEVICE.client_id.hex() == OWN["client_id"]
    assert GATEWAY.device.server_public_key == DEVICE.server_public_key
    assert GATEWAY.identity.signing_key.raw() == bytes(range(32))
    assert GATEWAY.identity.box_key.public.raw == GATEWAY.identity.server_box_key.raw


def test_device_form_is_seven_texts_in_the_alphabets_that_sdks_demand() -> None:
    """A further key or a number would make strict SDKs fail."""
    shown = json.loads(DEVICE.to_json())

    assert set(shown) == SEVEN
    assert all(isinstance(value, str) for value in shown.values())
    assert shown["serverPublicKeyId"] == "4001"
    assert len(base64.b64decode(shown["privateKey"], validate=True)) == 138
    assert "=" not in shown["serverPublicKey"]
    assert "+" not in shown["serverPublicKey"]
    assert base64.urlsafe_b64decode(shown["serverPublicKey"] + "=") == DEVICE.server_public_key.raw


def test_base64_form_survives_the_check_of_the_python_sdk() -> None:
    """One line of standard base64 that gives itself again when read and written."""
    text = DEVICE.to_base64()

    assert base64.b64encode(base64.b64decode(text)).decode() == text
    assert json.loads(base64.b64decode(text)) == json.loads(DEVICE.to_json())


def test_both_forms_round_trip() -> None:
    """JSON, base64, with white space around: the same configuration."""
    for text in (DEVICE.to_json(), DEVICE.to_base64(), f"\n {DEVICE.to_base64()}\n"):
        assert DeviceConfig.parse(text).to_json() == DEVICE.to_json()
    for text in (GATEWAY.to_json(), GATEWAY.to_base64(), f" {GATEWAY.to_json()}\n"):
        assert GatewayConfig.parse(text).to_json() == GATEWAY.to_json()


def test_gateway_form_is_the_device_form_and_one_object() -> None:
    """The seven keys stay what they are beside `commander`."""
    shown = json.loads(GATEWAY.to_json())

    assert set(shown) == SEVEN | {"commander"}
    assert shown["commander"]["version"] == 1


def test_owner_key_may_be_missing() -> None:
    """An application that only reads has none, and then none is written."""
    reader = DeviceConfig.parse(device_json(appOwnerPublicKey=...))

    assert reader.app_owner_public_key is None
    assert set(json.loads(reader.to_json())) == SEVEN - {"appOwnerPublicKey"}


@pytest.mark.parametrize("name", sorted(SEVEN - {"appOwnerPublicKey"}))
@pytest.mark.parametrize("value", [..., None, "", 1, [], "x" * 600, "AAAA"])
def test_missing_or_wrong_value_is_refused(name: str, value: object) -> None:
    """Each key must be there, as text, of its size (a short host name is one)."""
    if name == "hostname" and value == "AAAA":
        value = "a b"

    with pytest.raises(InvalidInput):
        DeviceConfig.parse(device_json(**{name: value}))


def test_further_key_is_refused() -> None:
    """An unbound configuration or one of something else is not taken for ours."""
    with pytest.raises(InvalidInput, match="clientKey"):
        DeviceConfig.parse(device_json(clientKey="x"))
    with pytest.raises(InvalidInput, match="commander"):
        DeviceConfig.parse(GATEWAY.to_json())
    with pytest.raises(InvalidInput, match="commander"):
        GatewayConfig.parse(DEVICE.to_json())


@pytest.mark.parametrize(
    "change",
    [
        {"version": 0}, {"version": 2}, {"version": "1"}, {"gateway": "x"}, {"application": ""},
        {"signingKey": "AA"}, {"boxKey": "AA"}, {"serverBoxKey": "AA"}, {"rootFingerprint": "AA"},
        {"ca": 1}, {"ca": "x" * 17_000}, {"more": 1}, {"ca": ...}, {"boxKey": ...},
        {"rootFingerprint": "A" * 42 + "="},
    ],
)  # fmt: skip
def test_gateway_object_out_of_form_is_refused(change: dict[str, Any]) -> None:
    """Unknown versions, keys and sizes are errors; the control is accepted."""
    GatewayConfig.parse(gateway_json())

    with pytest.raises(InvalidInput):
        GatewayConfig.parse(gateway_json(**change))


@pytest.mark.parametrize(
    "host", ["pam.example", "pam.example:443", "10.0.0.1:65535", "[::1]:8443", "a_b-c.d", "h"]
)
def test_host_names_with_a_port_are_taken(host: str) -> None:
    """Names, addresses and ports as they are typed."""
    assert DeviceConfig.parse(device_json(hostname=host)).hostname == host


@pytest.mark.parametrize(
    "host",
    ["https://h", "h/x", "h:0", "h:65536", "h:099", "h:", ":443", "h h", "h\n", "::1", "", "é.x",
     "u@h", "h?x", "h#x", "x" * 300],
)  # fmt: skip
def test_other_host_names_are_refused(host: str) -> None:
    """A path, a scheme or a user in the name would send requests elsewhere."""
    with pytest.raises(InvalidInput):
        DeviceConfig.parse(device_json(hostname=host))


def test_host_name_that_an_sdk_misreads_is_not_handed_out() -> None:
    """The Python SDK takes "http" anywhere in a name for a scheme; our gateway does not."""
    config = dataclasses.replace(DEVICE, hostname="my-HTTPd.example")

    with pytest.raises(InvalidInput, match="contains 'http'"):
        config.to_json()
    GatewayConfig.parse(dataclasses.replace(GATEWAY, device=config).to_json())


@pytest.mark.parametrize("number", ["1", "7", "20", "0", "-1", "2147483648", "4001.0", "٤٠٠١"])
def test_key_id_of_another_server_is_refused(number: str) -> None:
    """Ids that SDKs have keys of their own for, and what is no number, are refused."""
    with pytest.raises(InvalidInput, match="key"):
        DeviceConfig.parse(device_json(serverPublicKeyId=number))


def test_key_id_is_checked_on_the_way_out() -> None:
    """A configuration that no SDK could use is not written."""
    with pytest.raises(InvalidInput, match="21 to"):
        dataclasses.replace(DEVICE, server_key_id=7).to_json()


def test_base64_with_anything_between_is_refused() -> None:
    """One line means one line: no breaks, spaces or other characters inside."""
    text = DEVICE.to_base64()

    for extra in ("\n", " ", "-", "\x00", "é"):
        with pytest.raises(InvalidInput):
            DeviceConfig.parse(text[:40] + extra + text[40:])


def test_longest_values_are_taken() -> None:
    """The limits themselves are allowed."""
    whole = device_json()
    assert DeviceConfig.parse(whole + " " * (64 * 1024 - len(whole))).hostname == DEVICE.hostname
    assert len(GatewayConfig.parse(gateway_json(ca="x" * 16 * 1024)).identity.ca_pem) == 16 * 1024
    with pytest.raises(InvalidInput, match=r"\$\.clientId"):
        DeviceConfig.parse(device_json(clientId="A" * 513))


def test_over_long_text_is_refused() -> None:
    """A file of any size costs no memory beyond the limit."""
    for text in ("A" * (4 * MAX_CONFIG_BYTES), device_json() + " " * MAX_CONFIG_BYTES):
        with pytest.raises(InvalidInput, match="longer than"):
            DeviceConfig.parse(text)


@pytest.mark.parametrize("text", [DEVICE.to_base64(), DEVICE.to_json()], ids=["base64", "json"])
def test_cut_text_is_refused(text: str) -> None:
    """A configuration cut anywhere is refused, in both forms."""
    for cut in range(len(text)):
        with pytest.raises(InvalidInput):
            DeviceConfig.parse(text[:cut])


@given(text=st.text(max_size=80) | st.text(alphabet='{}",:aA= ', max_size=80))
def test_any_text_gives_the_documented_error(text: str) -> None:
    """No text makes the reader fail otherwise."""
    with contextlib.suppress(InvalidInput):
        DeviceConfig.parse(text)
    with contextlib.suppress(InvalidInput):
        GatewayConfig.parse(text)


def test_errors_and_reprs_show_no_key() -> None:
    """What is wrong with a key is said without the key."""
    broken = device_json(privateKey=json.loads(DEVICE.to_json())["privateKey"][:-8])
    with pytest.raises(InvalidInput) as caught:
        DeviceConfig.parse(broken)

    shown = f"{caught.value!r} {DEVICE!r} {GATEWAY!r}"
    for secret in (DEVICE.app_key, DEVICE.private_key.pkcs8(), GATEWAY.identity.box_key.raw()):
        assert repr(secret)[2:-1][:40] not in shown
        assert base64.b64encode(secret).decode()[:40] not in shown
