"""Sending with a time limit: a channel that takes long delays no other one, and not the evaluation that sends.

Each channel has a thread of its own, and at most one, which a shutdown does not wait for. What a slow channel took in
the end is learned later.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread

from backup_platform.domain.incidents.digest import Parcel
from backup_platform.errors import BackupError


@dataclass(frozen=True, slots=True)
class Landed:
    """What became of a parcel: `error` is "" when the channel took it."""

    channel: str
    ids: tuple[str, ...]
    error: str


class Couriers:
    """What is on its way to channels. It lives as long as the process."""

    def __init__(self) -> None:
        self._away: set[str] = set()
        self._landed: SimpleQueue[Landed] = SimpleQueue()

    @property
    def away(self) -> frozenset[str]:
        """The channels that have not answered yet."""
        return frozenset(self._away)

    def send(self, channel: str, parcel: Parcel, deliver: Callable[[Parcel], None]) -> None:
        """Begin to send. Of a channel that is `away`, nothing more is sent."""
        if channel in self._away:
            return

        def run() -> None:
            try:
                deliver(parcel)
            except BackupError as error:
                self._landed.put(Landed(channel, parcel.ids, str(error)))
            except BaseException as error:
                self._landed.put(Landed(channel, parcel.ids, f"{type(error).__name__}: {error}"))
            else:
                self._landed.put(Landed(channel, parcel.ids, ""))

        self._away.add(channel)
        Thread(target=run, name=f"alert to {channel}", daemon=True).start()

    def landed(self, awaited: Collection[str] = (), within_s: float = 0.0) -> Iterator[Landed]:
        """What has ended, each as soon as it has; until nothing is on its way to the channels `awaited`, or the time is
        over. For channels that have not answered for longer, nobody waits."""
        deadline = time.monotonic() + within_s
        while self._away.intersection(awaited) or not self._landed.empty():
            try:
                found = self._landed.get(timeout=max(deadline - time.monotonic(), 0.001))
            except Empty:
                return
            self._away.discard(found.channel)
            yield found
