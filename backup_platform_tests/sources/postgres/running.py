"""Calls that run while the test does something to them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from backup_platform_tests.sources.postgres.servers import fetch_value


class Running:
    """A call in a thread; `result` is what it returned or raised."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._outcome: object = None
        self._thread = threading.Thread(target=self._run, args=(call,), daemon=True)
        self._thread.start()

    def _run(self, call: Callable[[], object]) -> None:
        try:
            self._outcome = call()
        except BaseException as error:
            self._outcome = error

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    def result(self) -> object:
        self._thread.join(120)
        assert self.ended, "it hangs"
        return self._outcome


def waits_for_lock(url: str) -> bool:
    waiting = """SELECT count(*) > 0 FROM pg_locks JOIN pg_stat_activity USING (pid)
        WHERE NOT granted AND datname = current_database()"""
    return bool(fetch_value(url, waiting))


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
