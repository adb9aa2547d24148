"""Progress on standard error. The work only adds to counters; a thread of its own looks at them and draws.

So a call costs the work a lock and two additions, and drawing is bounded by the clock, not by the work.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TextIO

from backup_platform.domain import words
from backup_platform.domain.visible import visible

REFRESH_S = 0.2
FIRST_LOOK_S = 0.3  # work that ends sooner shows nothing, and pays for no display
PLAIN_EVERY_S = 10.0
_RATE_OVER_S = 15.0
_NOTES_KEPT = 1000


@dataclass(frozen=True, slots=True)
class ProgressCounts:
    """What was done so far, and how much is expected; 0 if that is unknown. `size` is in bytes. `doing` is the current
    part of the work. `unit` is the name of one item."""

    items: int = 0
    size: int = 0
    expected_items: int = 0
    expected_size: int = 0
    doing: str = ""
    unit: str = "file"

    def counted(self, of: str) -> str:
        """`1,234 of 5,000 tables`; "" where nothing is counted."""
        if not (self.items or self.expected_items):
            return ""
        if not self.expected_items:
            return words.how_many(self.items, self.unit)
        return f"{self.items:,}{of}{words.how_many(self.expected_items, self.unit)}"


class ProgressMeter:
    """The `Progress` that is handed to the work. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.begin("")
        self._notes: deque[str] = deque(maxlen=_NOTES_KEPT)
        self._lost = 0

    def begin(self, doing: str, unit: str = "file") -> None:
        with self._lock:
            self._items = self._size = self._expected_items = self._expected_size = 0
            self._doing, self._unit = doing, unit

    def expect(self, *, items: int = 0, size: int = 0) -> None:
        with self._lock:
            self._expected_items += items
            self._expected_size += size

    def advance(self, *, items: int = 0, size: int = 0) -> None:
        with self._lock:
            self._items += items
            self._size += size

    def note(self, text: str) -> None:
        with self._lock:
            self._lost += len(self._notes) == _NOTES_KEPT
            self._notes.append(text)

    def amounts(self) -> ProgressCounts:
        with self._lock:
            return ProgressCounts(
                self._items,
                self._size,
                self._expected_items,
                self._expected_size,
                self._doing,
                self._unit,
            )

    def take_notes(self) -> list[str]:
        """The notes since the last call; the oldest are lost when there were more than a thousand."""
        with self._lock:
            notes, lost = list(self._notes), self._lost
            self._notes.clear()
            self._lost = 0
        return [f"({lost} earlier notes left out)", *notes] if lost else notes


class Pace:
    """The recent rate, in bytes and items a second, from the amounts of the last seconds of a part of the work."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, ProgressCounts]] = deque()

    def at(self, now: float, amounts: ProgressCounts) -> tuple[float, float]:
        if self._seen and self._seen[-1][1].doing != amounts.doing:
            self._seen.clear()
        self._seen.append((now, amounts))
        while len(self._seen) > 2 and now - self._seen[1][0] >= _RATE_OVER_S:
            self._seen.popleft()
        then, before = self._seen[0]
        elapsed = now - then
        if elapsed <= 0:
            return 0.0, 0.0
        return (amounts.size - before.size) / elapsed, (amounts.items - before.items) / elapsed


@dataclass(frozen=True, slots=True)
class ProgressView:
    """What a display shows at one moment. `left_s` is None if it is unknown."""

    amounts: ProgressCounts
    bytes_per_s: float
    items_per_s: float
    left_s: float | None


def look(amounts: ProgressCounts, bytes_per_s: float, items_per_s: float) -> ProgressView:
    if amounts.expected_size:
        left, speed = amounts.expected_size - amounts.size, bytes_per_s
    else:
        left, speed = amounts.expected_items - amounts.items, items_per_s
    known = (amounts.expected_size or amounts.expected_items) and speed > 0
    return ProgressView(amounts, bytes_per_s, items_per_s, max(left, 0) / speed if known else None)


class Display(Protocol):
    def draw(self, now: float, view: ProgressView, notes: list[str]) -> None: ...

    def close(self) -> None: ...


class PlainDisplay:
    """Lines for logs: notes at once, amounts every ten seconds."""

    def __init__(self, title: str, stream: TextIO, *, every_s: float = PLAIN_EVERY_S) -> None:
        self._title = title
        self._stream = stream
        self._every_s = every_s
        self._next: float | None = None

    def draw(self, now: float, view: ProgressView, notes: list[str]) -> None:
        lines = [f"{self._title}: {note}" for note in notes]
        if self._next is None:
            self._next = now + self._every_s - FIRST_LOOK_S
        elif now >= self._next:
            self._next = now + self._every_s
            lines.append(f"{self._title}: {describe(view)}")
        if lines:
            self._stream.writelines(visible(line) + "\n" for line in lines)
            self._stream.flush()

    def close(self) -> None:
        """Lines stay as they are."""


def describe(view: ProgressView) -> str:
    """`comparing, 1,234 of 5,000 files, 12.3 MB of 1.2 GB, 45.0 MB/s, 1 min 20 s left`."""
    amounts = view.amounts
    parts = [text for text in (amounts.doing, amounts.counted(" of ")) if text]
    if amounts.size or amounts.expected_size:
        of = f" of {words.size(amounts.expected_size)}" if amounts.expected_size else ""
        parts.append(f"{words.size(amounts.size)}{of}")
        parts.append(f"{words.size(view.bytes_per_s)}/s")
    if view.left_s is not None:
        parts.append(f"{words.duration(view.left_s)} left")
    return ", ".join(parts) or "working"


class Ticker:
    """Looks at the meter from its own thread, now and then, and once more when it is stopped."""

    def __init__(self, meter: ProgressMeter, open_display: Callable[[], Display]) -> None:
        self._meter = meter
        self._open = open_display
        self._display: Display | None = None
        self._pace = Pace()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def start(self) -> None:
        self._pace.at(time.monotonic(), self._meter.amounts())
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._watch()
        except OSError:
            return  # nobody can see it any more (the terminal is gone); the work goes on

    def _watch(self) -> None:
        wait = FIRST_LOOK_S
        try:
            while not self._stop.wait(wait):
                wait = REFRESH_S
                self._draw(self._meter.take_notes())
            self._last()
        finally:
            if self._display is not None:
                self._display.close()

    def _last(self) -> None:
        notes = self._meter.take_notes()
        if notes or self._display is not None:
            self._draw(notes)

    def _draw(self, notes: list[str]) -> None:
        if self._display is None:
            self._display = self._open()
        now = time.monotonic()
        amounts = self._meter.amounts()
        self._display.draw(now, look(amounts, *self._pace.at(now, amounts)), notes)


def draws_bars(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")


@contextmanager
def reporting(title: str, stream: TextIO, *, quiet: bool = False) -> Iterator[ProgressMeter]:
    """Show progress on the stream while the block runs. `quiet`: a terminal's bar, but no lines."""
    meter = ProgressMeter()
    if quiet and not draws_bars(stream):
        yield meter
        return
    ticker = Ticker(meter, lambda: _open(title, stream))
    ticker.start()
    try:
        yield meter
    finally:
        ticker.stop()


def _open(title: str, stream: TextIO) -> Display:
    if not draws_bars(stream):
        return PlainDisplay(title, stream)
    from backup_platform.cli.display.bar import BarDisplay

    return BarDisplay(title, stream)
