from __future__ import annotations

import hmac
from typing import NoReturn


class Secret:
    """
    Bytes that must not be shown: repr, str, format and pickle give `<secret>` or refuse.

    Call `reveal` only where the bytes are used. `wipe` overwrites them; Python may
    hold other copies, so this shortens their life, it does not end it.
    """

    __slots__ = ("_value",)

    def __init__(self, value: bytes | bytearray | str) -> None:
        self._value = bytearray(value.encode() if isinstance(value, str) else value)

    def reveal(self) -> bytes:
        """The bytes themselves."""
        return bytes(self._value)

    def reveal_text(self) -> str:
        """The bytes as UTF-8 text."""
        return self._value.decode()

    def wipe(self) -> None:
        """Overwrite the bytes with zeros."""
        for index in range(len(self._value)):
            self._value[index] = 0

    def __len__(self) -> int:
        return len(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value, other._value)

    __hash__ = None  # type: ignore[assignment]  # a hash would leak equality into tables

    def __repr__(self) -> str:
        return "<secret>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "<secret>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled or copied")
