"""What is remembered of a recovery point: as much as its source's state needs. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from backup_platform.domain.model import RecoveryPoint, Window


@dataclass(frozen=True, slots=True)
class PointOutline:
    """A recovery point without its contents, facts and problems. Sizes in bytes, times in seconds."""

    id: str
    sequence: int
    source: str
    kind: str
    window: Window
    timezone: str
    captured_at: datetime
    committed_at: datetime
    incomplete: bool
    suspect: tuple[str, ...]
    source_bytes: int
    new_bytes: int
    stored_bytes: int
    duration_s: float
    stored_at: datetime | None = None
    accepted: str = field(default="", compare=False)

    @property
    def is_suspect(self) -> bool:
        """Whether it looks emptied or shrunk, and nobody has accepted it."""
        return bool(self.suspect) and not self.accepted

    @classmethod
    def of(cls, point: RecoveryPoint) -> PointOutline:
        return cls(
            id=point.id,
            sequence=point.sequence,
            source=point.source,
            kind=point.kind,
            window=point.window,
            timezone=point.timezone,
            captured_at=point.captured_at,
            committed_at=point.committed_at,
            incomplete=point.incomplete,
            suspect=point.suspect,
            source_bytes=point.stats.source_bytes,
            new_bytes=point.stats.new_bytes,
            stored_bytes=point.stats.stored_bytes,
            duration_s=point.stats.duration_s,
            stored_at=point.stored_at,
            accepted=point.accepted,
        )
