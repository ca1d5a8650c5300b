from __future__ import annotations

from commander.ksm import ecies
from commander.ksm.keys import P256PrivateKey
from commander.ksm.owner import is_wrapped_to_owner, owner_key

APP_KEY = bytes(range(32))
RECORD_KEY = bytes(reversed(range(32)))

OWNER = (
    "04273284cfab1bb45abfb5a072e0100273550b7f3f9e8112b317b5fc7dbff6a045"
    "59056fa2b7c34418cb6ce8fe7dc7d9eadfd84f704c9bb54ede3a95ae1258b78b"
)


def test_owner_key_is_the_same_for_everyone_with_the_application_key() -> None:
    """Recorded, since devices have been given the point."""
    assert owner_key(APP_KEY).public == owner_key(APP_KEY).public
    assert owner_key(APP_KEY).public.raw.hex() == OWNER
    assert owner_key(bytes(32)).public != owner_key(APP_KEY).public


def test_wrap_to_the_owner_is_told_from_any_other() -> None:
    """A server that gave a device its own point is found out."""
    honest = ecies.seal(owner_key(APP_KEY).public, RECORD_KEY)
    stolen = ecies.seal(P256PrivateKey.generate().public, RECORD_KEY)

    assert is_wrapped_to_owner(APP_KEY, honest, RECORD_KEY)
    assert not is_wrapped_to_owner(APP_KEY, stolen, RECORD_KEY)
    assert not is_wrapped_to_owner(APP_KEY, honest, APP_KEY)
