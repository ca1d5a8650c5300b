"""Enforcement policies a role can grant. An absent key refuses; unknown keys are errors."""

from __future__ import annotations

from commander.errors import InvalidInput

POLICIES: dict[str, str] = {
    "ALLOW_SECRETS_MANAGER": "create applications and their clients",
    "ALLOW_PAM_GATEWAY": "create and remove gateways",
    "ALLOW_PAM_ROTATION": "use rotation",
    "ALLOW_PAM_DISCOVERY": "run discovery",
    "ALLOW_CONFIGURE_ROTATION_SETTINGS": "change rotation settings",
    "ALLOW_ROTATE_CREDENTIALS": "rotate credentials",
    "ALLOW_CONFIGURE_PAM_CLOUD_CONNECTION_SETTINGS": "change connection settings",
    "ALLOW_LAUNCH_PAM_ON_CLOUD_CONNECTION": "launch connections",
    "ALLOW_VIEW_KCM_RECORDINGS": "view session recordings",
    "ALLOW_CONFIGURE_PAM_TUNNELING_SETTINGS": "change tunnel settings and PAM configurations",
    "ALLOW_LAUNCH_PAM_TUNNELS": "start tunnels",
    "ALLOW_CONFIGURE_RBI": "change remote browser isolation settings",
    "ALLOW_LAUNCH_RBI": "launch remote browsers",
    "ALLOW_VIEW_RBI_RECORDINGS": "view remote browser recordings",
}


def parse_policy(text: str) -> tuple[str, bool]:
    """
    Read `KEY:VALUE` as typed after `--enforcement`; the key is case-insensitive, quotes are dropped.

    Raises InvalidInput for an unknown key or a value that is not true or false.
    """
    key, colon, value = text.partition(":")
    key = key.strip().strip("\"'").upper()
    value = value.strip().strip("\"'").lower()
    if not colon:
        raise InvalidInput(
            f"{text!r} is not KEY:VALUE", hint='for example "ALLOW_LAUNCH_PAM_TUNNELS":true'
        )
    if key not in POLICIES:
        raise InvalidInput(
            f"{key} is not an enforcement key", hint=f"known keys: {', '.join(POLICIES)}"
        )
    if value not in {"true", "false", "on", "off"}:
        raise InvalidInput(f"{value!r} is not a value for {key}", hint="write true or false")
    return key, value in {"true", "on"}
