"""Messages on their way: each channel gets each message, whatever becomes of the other channels.

Pure: the caller gives the time, sends what is due, and says what became of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from backup_platform.domain.incidents.digest import Parcel, digest
from backup_platform.domain.incidents.message import Message, Occasion

LONGEST_PAUSE = timedelta(hours=1)
MOST_PENDING = 200  # of a channel; beyond, the oldest are counted instead of kept: a cursor is no archive
NOBODY = ""  # the queue of a plan without channels


@dataclass
class Queue:
    """What one channel has to get: ids of messages. After `failures` in a row it is tried again at `retry_at`."""

    ids: list[str] = field(default_factory=list)
    dropped: int = 0
    failures: int = 0
    retry_at: float = 0.0
    failing_since: str = ""
    reason: str = ""


class Outbox:
    """What has to be said, by channel. All that a channel has to get goes out as one message."""

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        state = state or {}
        self._messages = {each["id"]: _message(each) for each in state.get("messages", [])}
        self._queues = {name: Queue(**each) for name, each in state.get("queues", {}).items()}

    def state(self) -> dict[str, Any]:
        """JSON-serialisable."""
        wanted = {each for queue in self._queues.values() for each in queue.ids}
        kept = [{"id": name, **_plain(each)} for name, each in self._messages.items() if name in wanted]
        return {"messages": kept, "queues": {name: asdict(queue) for name, queue in self._queues.items()}}

    def address(self, channels: Collection[str]) -> None:
        """From now on messages are for these channels. What one that left did not get goes to those that are new, or
        waits until there is one."""
        names = set(channels) or {NOBODY}
        left = [self._queues.pop(name) for name in list(self._queues) if name not in names]
        new = [name for name in names if name not in self._queues]
        for name in new or (names if NOBODY in names else ()):
            queue = self._queues.setdefault(name, Queue())
            owed = {each for queue in left for each in queue.ids}
            queue.ids += [each for each in self._messages if each in owed and each not in queue.ids]
            queue.dropped += max((each.dropped for each in left), default=0)

    def add(self, message: Message, *, besides: str | None = None) -> None:
        """A message for all channels `besides` one."""
        self._messages[message.id] = message
        for name, queue in self._queues.items():
            if name != besides and message.id not in queue.ids:
                queue.ids.append(message.id)
                if len(queue.ids) > MOST_PENDING:
                    queue.ids.pop(0)
                    queue.dropped += 1

    def due(self, channel: str, now: datetime, held: Collection[str] = ()) -> Parcel | None:
        """What the channel should be sent now, if anything; `held` are the ids of messages that wait. One that fails is
        tried again after 1, 2, 4 … minutes."""
        queue = self._queues.get(channel)
        latest = (now + LONGEST_PAUSE).timestamp()  # a clock that was ahead must not hold anything back
        if queue is None or now.timestamp() < queue.retry_at <= latest:
            return None
        ids = [each for each in queue.ids if each not in held]
        return digest([self._messages[each] for each in ids], queue.dropped) if ids else None

    def waiting(self) -> Sequence[Message]:
        """All messages that some channel has to get."""
        wanted = {each for queue in self._queues.values() for each in queue.ids}
        return [message for name, message in self._messages.items() if name in wanted]

    def sent(self, channel: str, ids: Iterable[str]) -> None:
        """The channel got these messages."""
        queue, got = self._queues.get(channel), set(ids)
        if queue is not None:
            rest = [each for each in queue.ids if each not in got]
            self._queues[channel] = Queue(rest)

    def refused(self, channel: str, reason: str, now: datetime) -> str:
        """The channel did not take its messages. Returns the reason, and when it is tried again."""
        queue = self._queues.get(channel)
        if queue is None:
            return ""
        pause = min(timedelta(minutes=2 ** min(queue.failures, 10)), LONGEST_PAUSE)
        queue.failures += 1
        queue.retry_at = (now + pause).timestamp()
        queue.failing_since = queue.failing_since or now.isoformat()
        queue.reason = reason
        return f"{len(queue.ids):,} alerts not sent to {channel}, next try in {pause}: {reason}"

    def fails(self, channel: str) -> bool:
        """Whether the last that was sent to it was refused."""
        return channel in self._queues and self._queues[channel].failures > 0

    def failing(self, after: int) -> dict[str, Queue]:
        """The channels that failed so many times in a row, or more often."""
        return {name: queue for name, queue in self._queues.items() if queue.failures >= after}


def _plain(message: Message) -> dict[str, Any]:
    return {**asdict(message), "at": message.at.isoformat()}


def _message(kept: dict[str, Any]) -> Message:
    fields = {name: value for name, value in kept.items() if name != "id"}
    return Message(
        **{**fields, "occasion": Occasion(kept["occasion"]), "at": datetime.fromisoformat(kept["at"])}
    )
