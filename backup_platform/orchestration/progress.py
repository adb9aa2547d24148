"""The progress of a backup or drill as lines in the run's log."""

from __future__ import annotations

from threading import Lock

from backup_platform.domain import words
from backup_platform.domain.ports import Clock
from backup_platform.orchestration.shown import Log

INTERVAL_S = 30.0


class LogProgress:
    """A `Progress` that logs at most one line in `INTERVAL_S`: each is an event in Dagster's database."""

    def __init__(self, log: Log, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._lock = Lock()
        self._said = clock.monotonic()
        self.begin("")

    def begin(self, doing: str, unit: str = "file") -> None:
        with self._lock:
            self._doing, self._unit = doing, unit
            self._done, self._expected = [0, 0], [0, 0]

    def expect(self, *, items: int = 0, size: int = 0) -> None:
        with self._lock:
            self._expected[0] += items
            self._expected[1] += size

    def advance(self, *, items: int = 0, size: int = 0) -> None:
        with self._lock:
            self._done[0] += items
            self._done[1] += size
            line = self._due()
        if line:
            self._log.info(line)

    def note(self, text: str) -> None:
        self._log.info(text)

    def _due(self) -> str:
        now = self._clock.monotonic()
        if now - self._said < INTERVAL_S:
            return ""
        self._said = now
        items, size = self._done
        doing = f"{self._doing}: " if self._doing else ""
        of = f" of {words.size(self._expected[1])}" if self._expected[1] else ""
        return f"{doing}{words.how_many(items, self._unit)}, {words.size(size)}{of}"
