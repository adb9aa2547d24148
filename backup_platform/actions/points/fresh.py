"""Is there a recovery point that is new enough, and good enough, to rely on?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from backup_platform.domain.model import Proof, RecoveryPoint
from backup_platform.domain.trust.latest import captures
from backup_platform.domain.trust.standing import State, standing
from backup_platform.domain.words import span

SOUND = (State.PROVEN, State.VERIFIED, State.UNPROVEN)


@dataclass(frozen=True, slots=True)
class Freshness:
    """Asks for a point of `source` that was captured `within` this time, and is complete and not suspect. `proven`: a
    drill of it passed."""

    source: str
    within: timedelta
    proven: bool = True

    def __str__(self) -> str:
        return f"a {self._kind} point of {self.source} that is at most {span(self.within)} old"

    @property
    def _kind(self) -> str:
        return "proven" if self.proven else "complete"

    def newest(
        self, points: Iterable[RecoveryPoint], proofs: Mapping[str, Sequence[Proof]]
    ) -> RecoveryPoint | None:
        """The newest point that is good enough, however old it is."""
        wanted = (State.PROVEN,) if self.proven else SOUND
        good = [p for p in captures(points) if standing(p, proofs.get(p.id, ())).state in wanted]
        return max(good, key=lambda point: point.captured_at, default=None)

    def is_met_by(self, point: RecoveryPoint | None, now: datetime) -> bool:
        """Whether the newest point that is good enough is new enough. A time of the future is none."""
        return point is not None and timedelta(0) <= now - point.captured_at <= self.within

    def unmet(self, point: RecoveryPoint | None, now: datetime) -> str:
        """Why it is not met, as a sentence."""
        if point is None:
            return f"There is no {self._kind} point of {self.source}."
        old = f"was captured at {point.captured_at:%Y-%m-%d %H:%M} UTC, {span(now - point.captured_at)} ago"
        return f"The newest {self._kind} point of {self.source} {old}. The limit is {span(self.within)}."
