"""A hold keeps a recovery point, whatever the rules say, until the hold is released or expires. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Hold:
    """`until` is None if only a release ends the hold. `damaged` says why a document of the hold cannot be read. A hold
    whose own document cannot be read counts as a legal hold."""

    id: str
    point: str
    reason: str
    legal: bool
    placed_at: datetime
    until: datetime | None = None
    released_at: datetime | None = None
    release_reason: str = ""
    damaged: str = ""

    def in_force(self, now: datetime) -> bool:
        """`now` is the store's clock."""
        return self.released_at is None and (self.until is None or now < self.until)

    def __str__(self) -> str:
        text = f"legal: {self.reason}" if self.legal else self.reason
        return f"{text}, until {self.until.isoformat(timespec='minutes')}" if self.until else text
