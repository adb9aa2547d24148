"""The clock of the machine."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class SystemClock:
    """`ports.Clock` of the operating system."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class Silent:
    """A `ports.Progress` that shows nothing."""

    def begin(self, doing: str, unit: str = "file") -> None:
        """Nothing to show."""

    def expect(self, *, items: int = 0, size: int = 0) -> None:
        """Nothing to show."""

    def advance(self, *, items: int = 0, size: int = 0) -> None:
        """Nothing to show."""

    def note(self, text: str) -> None:
        """Nothing to show."""


SILENT = Silent()
