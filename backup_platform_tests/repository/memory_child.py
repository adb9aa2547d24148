"""Backs up much in a process of its own, and prints the most memory that it needed, in MiB."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from backup_platform.actions.verify.run import ReadShare, verify
from backup_platform.domain.model import (
    Content,
    Entry,
    EntryKind,
    RecoveryPoint,
    Stat,
    Stats,
    StreamRef,
    Window,
)
from backup_platform.repository.creating import init_repository
from backup_platform.repository.repository import Repository
from backup_platform.repository.session import Session
from backup_platform.stores.object_store import DirectoryStore
from backup_platform_tests.support import START, ManualClock, QuietProgress, noise, text

BLOCK = 4 << 20


def peak() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def blocks(size: int) -> Iterator[bytes]:
    """Half of it compresses, nothing repeats."""
    for n in range(size // BLOCK):
        yield noise(BLOCK, n) if n % 2 else text(BLOCK, n)


def rows(count: int, batch: int) -> Iterator[list[Stat]]:
    for first in range(0, count, batch):
        yield [
            Stat(
                b"directory/%07d/a name of some length" % n, EntryKind.FILE, 0o644, 0, 0, n, n, n, n, 1, 1, 0
            )
            for n in range(first, min(first + batch, count))
        ]


def point_of(inventory: StreamRef) -> RecoveryPoint:
    window = Window("w", START, START)
    stats = Stats()
    return RecoveryPoint(
        "", 1, "", "s", "files", window, "UTC", START, START, 0.0, False, 0, (), {}, stats, inventory, {}
    )


def large_stream(repository: Repository, size: int) -> None:
    with Session(repository, None) as session:
        ref = session.recorder.stream(blocks(size))
        stat = Stat(b"large", EntryKind.FILE, 0o644, 0, 0, ref.size, 0, 0, 0, 0, 1, 0)
        session.recorder.record([Entry(stat, content=ref.content)])
        inventory = session.finish()
    point = repository.points.commit(point_of(inventory))
    assert verify(repository, [point], ReadShare(), repository.clock, QuietProgress()).passed


def many_rows(repository: Repository, count: int) -> None:
    """As a walk records them, and again with every row unchanged."""
    with Session(repository, None) as session:
        for batch in rows(count, 8192):
            session.recorder.record([Entry(s, content=Content(noise(32, s.size))) for s in batch])
        inventory = session.finish()
    point = repository.points.commit(point_of(inventory))
    with Session(repository, point) as session:
        for batch in rows(count, 8192):
            session.recorder.reuse(batch)
            session.recorder.record([Entry(s, content=Content(noise(32, s.size))) for s in batch])
        assert session.finish() == inventory


def main(root: str, kind: str, amount: int) -> None:
    clock = ManualClock()
    store = DirectoryStore(root)
    init_repository(store, clock)
    {"stream": large_stream, "rows": many_rows}[kind](Repository(store, clock), amount)
    print(peak())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
