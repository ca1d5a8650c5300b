"""What all servers and programs of the tests have in common: they run within a `with`."""

from __future__ import annotations

from types import TracebackType
from typing import Self


class Started:
    """Starts when the block begins and closes when it ends; also when its start fails half-way."""

    def start(self) -> Self:
        """Start, and return when it serves."""
        raise NotImplementedError

    def close(self) -> None:
        """End it; idempotent."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
