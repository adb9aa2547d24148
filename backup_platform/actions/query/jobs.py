"""Work that can be stopped, because DuckDB reacts neither to signals nor to the clock."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import timedelta
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any, Generic, TypeVar

from backup_platform.errors import TimeLimitError
from backup_platform.plan.values import show_duration

T = TypeVar("T")
AGAIN_S = 0.1


class Job(Generic[T]):
    """One piece of work, and its result."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._results: list[T] = []
        self._error: BaseException | None = None
        self.ended = Event()

    def do(self) -> None:
        try:
            self._results.append(self._work())
        except BaseException as error:
            self._error = error
        finally:
            self.ended.set()

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        return self._results[0]


class Jobs:
    """Runs pieces of work one after the other in a thread. Together they may take `limit_s`. `interrupt` ends the one
    that runs. The thread is started before the first work: a signal may come at any moment, and its handler must not
    depend on whether the thread exists."""

    def __init__(self, interrupt: Callable[[], None], limit_s: float | None) -> None:
        self._interrupt = interrupt
        self._limit_s, self._used_s = limit_s, 0.0
        self._queue = SimpleQueue[Job[Any] | None]()
        self._over = False
        self._thread = Thread(target=self._do_all, name="query", daemon=True)
        self._thread.start()

    def run(self, work: Callable[[], T]) -> T:
        """Raises TimeLimitError, and the errors of the work. After it was ended, it runs nothing more."""
        if self._over:
            raise self._too_long()
        job = Job(work)
        began = time.monotonic()
        try:
            self._queue.put(job)
            in_time = self._in_time(job, began)
        except BaseException:
            self.end()
            raise
        self._used_s += time.monotonic() - began
        if not in_time:
            self.end()
            raise self._too_long()
        return job.result()

    def _in_time(self, job: Job[T], began: float) -> bool:
        """Whether it ended in time. Python notices a signal that comes just before a wait only after it, so each wait
        is short."""
        ends = math.inf if self._limit_s is None else began + self._limit_s - self._used_s
        while not job.ended.wait(max(min(AGAIN_S, ends - time.monotonic()), 0)):
            if time.monotonic() >= ends:
                return False
        return True

    def end(self) -> None:
        """End the running work, and wait until it has ended: an interruption has no effect on a query that is about to
        begin."""
        self._over = True
        self._queue.put(None)
        while self._thread.is_alive():
            self._interrupt()
            self._thread.join(AGAIN_S)

    def _do_all(self) -> None:
        while (job := self._queue.get()) is not None and not self._over:
            job.do()

    def _too_long(self) -> TimeLimitError:
        limit = show_duration(timedelta(seconds=self._limit_s or 0))
        return TimeLimitError(
            f"It was ended after {limit}, its time limit.",
            hint="Ask for fewer rows or columns, or give it more time, as in --time-limit 2h.",
        )
