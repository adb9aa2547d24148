"""Which windows a schedule or a sensor has just asked for: Dagster creates their runs only after the evaluation.

Run keys do not help: Dagster compares those of one schedule or sensor with each other, and not with another's. All
evaluations of a code location are in one process, so that memory is enough.
"""

from __future__ import annotations

from threading import Lock

from backup_platform.domain.ports import Clock

HELD_S = 120.0  # after that, the run exists, or the evaluation failed


class WindowClaims:
    """Whoever asks first for a window has it for a while. Safe for threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._held: dict[tuple[str, str], tuple[str, float]] = {}  # by subject and window: who, and when

    def take(self, who: str, subject: str, window: str) -> bool:
        """Whether the window is free for `who`, the name of a schedule or a sensor; then it is taken."""
        now = self._clock.monotonic()
        with self._lock:
            self._held = {each: held for each, held in self._held.items() if now - held[1] < HELD_S}
            holder, _ = self._held.get((subject, window), (who, now))
            if holder == who:
                self._held[subject, window] = (who, now)
            return holder == who
