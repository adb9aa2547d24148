"""Matching a walk with the previous inventory: yes for exactly what is unchanged and still stored."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup_platform.actions.backup.run import BackupJob
from backup_platform.domain.model import Content, Entry, EntryKind, RecoveryPoint, Stat, Status
from backup_platform.domain.windows.schedule import CADENCES, WindowSchedule
from backup_platform.errors import DamageError
from backup_platform.repository.creating import init_repository
from backup_platform.repository.points.inventory import entries_of, rows_of
from backup_platform.repository.points.previous import DAY_NS, SETTLED_NS, PreviousInventory
from backup_platform.repository.repository import Repository
from backup_platform.sources.files.source import FileTreeSource
from backup_platform.stores.object_store import DirectoryStore
from backup_platform_tests.sources.files_support import YEAR_2400
from backup_platform_tests.support import START, ManualClock, QuietProgress, content_of, walk_order

CAPTURED = 10 * SETTLED_NS
VANISHED = b"\xee" * 32

NAMES = st.sampled_from([b"a", b"a!", b"a-b", b"b", b"\xff", b"c.d", b"0"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(b"/".join)
SETTLED = CAPTURED - SETTLED_NS - 1
KEPT = Entry(
    Stat(b"", EntryKind.FILE, 0o644, 0, 0, 5, SETTLED, SETTLED, 7, 1, 1, 0), content=Content(bytes(32))
)


def with_stat(entry: Entry, **changes: Any) -> Entry:
    return entry._replace(stat=entry.stat._replace(**changes))


# At most one thing is wrong with an old row, and at most one thing has changed since: each alone must be seen.
OLD_ROWS = st.sampled_from(
    [
        *[KEPT] * 4,
        with_stat(KEPT, kind=EntryKind.DIRECTORY),
        KEPT._replace(content=Content()),
        KEPT._replace(xattrs=((b"user.a", b"1"),), extents=((0, 1),)),
        KEPT._replace(status=Status.CHANGED),
        KEPT._replace(status=Status.UNREADABLE, content=Content()),
        KEPT._replace(hardlink=b"elsewhere", content=Content()),
        KEPT._replace(content=Content(bytes(32) + VANISHED)),
        with_stat(KEPT, mtime_ns=SETTLED + 1),
        with_stat(KEPT, ctime_ns=SETTLED + 1),
        with_stat(KEPT, mtime_ns=CAPTURED + 5),
        with_stat(KEPT, mtime_ns=YEAR_2400),
        with_stat(KEPT, mtime_ns=-YEAR_2400, ctime_ns=-YEAR_2400),
        with_stat(KEPT, ctime_ns=YEAR_2400),
        with_stat(KEPT, size=0),
    ]
)
CHANGES: list[dict[str, Any]] = [
    {"size": 6},
    {"mtime_ns": SETTLED - 1},
    {"ctime_ns": SETTLED - 1},
    {"mtime_ns": -YEAR_2400},
    {"mtime_ns": YEAR_2400 + 1},
    {"mtime_ns": SETTLED + (1 << 64)},  # the same in 64 bits
    {"inode": 8},
    {"kind": EntryKind.SYMLINK},
    {"mode": 0o600, "uid": 1, "device": 2, "nlink": 2},  # not compared: ctime tells
]
FATES = st.sampled_from([*[{}] * 5, *CHANGES, None])  # None: it is gone
TREES = st.dictionaries(PATHS, st.tuples(OLD_ROWS, FATES), max_size=25)
ROOT = Stat(b".", EntryKind.DIRECTORY, 0o755, 0, 0, 0, 5, 5, 1, 1, 1, 0)
COMPARED = ("path", "kind", "size", "mtime_ns", "ctime_ns", "inode")


def in_order(rows: Sequence[Entry]) -> list[Entry]:
    unique = {row.stat.path: row for row in rows}
    return sorted(unique.values(), key=lambda row: walk_order(row.stat.path))


def tables(rows: Sequence[Entry], sizes: Sequence[int]) -> Iterator[pa.Table]:
    rows = list(rows)
    for size in sizes:
        yield rows_of(rows[:size])
        del rows[:size]
    yield rows_of(rows)


def present(blobs: Sequence[bytes], depths: Sequence[int]) -> list[bool]:
    return [VANISHED not in ids for ids in blobs]


def unchanged(old: Entry | None, new: Stat) -> bool:
    """The rule, said another way."""
    return (
        old is not None
        and all(getattr(old.stat, name) == getattr(new, name) for name in COMPARED)
        and old.status is Status.OK
        and old.hardlink is None
        and VANISHED not in old.content.blobs
        and new.ctime_ns < CAPTURED - SETTLED_NS
        and not CAPTURED - SETTLED_NS <= new.mtime_ns <= CAPTURED + DAY_NS
        and (new.size > 0 or new.kind is not EntryKind.FILE)
    )


@given(
    tree=TREES,
    new=st.lists(PATHS, max_size=8),
    tables_of=st.lists(st.integers(0, 6), max_size=8),
    batches_of=st.lists(st.integers(1, 6), max_size=20),
)
def test_yes_for_exactly_what_is_unchanged(
    tree: dict[bytes, tuple[Entry, dict[str, Any] | None]],
    new: list[bytes],
    tables_of: list[int],
    batches_of: list[int],
) -> None:
    old = in_order([Entry(ROOT), *(with_stat(row, path=path) for path, (row, _) in tree.items())])
    before = {row.stat.path: row for row in old}
    now = [KEPT.stat._replace(path=path) for path in new if path not in before]
    now += [before[path].stat._replace(**fate) for path, (_, fate) in tree.items() if fate is not None]
    walk = [row.stat for row in in_order([Entry(stat) for stat in [ROOT, *now]])]
    previous = PreviousInventory(tables(old, tables_of), CAPTURED, present)
    position = 0
    for size in [*batches_of, len(walk)]:
        batch = walk[position : position + size]
        position += size
        same = previous.match(batch)
        if not batch:
            continue
        assert same == [unchanged(before.get(stat.path), stat) for stat in batch]
        rows: list[Entry | Stat] = [
            stat if yes else Entry(stat, problem="new") for stat, yes in zip(batch, same, strict=True)
        ]
        merged = list(
            entries_of(previous.interleave(rows, rows_of([r for r in rows if isinstance(r, Entry)])))
        )
        assert merged == [r if isinstance(r, Entry) else before[r.path] for r in rows]


def test_damage_in_the_previous_inventory_means_that_nothing_more_is_reused() -> None:
    def rows() -> Iterator[pa.Table]:
        yield rows_of([Entry(ROOT)])
        raise DamageError("broken")

    previous = PreviousInventory(rows(), CAPTURED, present)
    other = ROOT._replace(path=b"a")
    assert previous.match([ROOT, other]) == [True, False]
    assert previous.match([ROOT._replace(path=b"b")]) == [False]


def test_memory_holds_a_part_of_the_old_rows_only() -> None:
    def many() -> Iterator[pa.Table]:
        for first in range(0, 100_000, 1_000):
            yield rows_of([Entry(ROOT._replace(path=b"%06d" % n)) for n in range(first, first + 1_000)])

    previous = PreviousInventory(many(), CAPTURED, present)
    for first in range(0, 100_000, 500):
        stats = [ROOT._replace(path=b"%06d" % n) for n in range(first, first + 500)]
        assert all(previous.match(stats))
        assert len(previous._window) <= 2_000


class Tree:
    """A real directory, backed up with the time stamps long settled."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "tree"
        self.root.mkdir()
        self.store = DirectoryStore(str(folder / "repository"))
        self.clock = ManualClock(START.replace(year=2100))
        init_repository(self.store, self.clock)

    def backup(self, *exclude: str) -> RecoveryPoint:
        source = FileTreeSource("tree", str(self.root), self.clock, exclude=exclude)
        repository = Repository(self.store, self.clock)
        schedule = WindowSchedule(CADENCES["day"], since=START)
        return (
            BackupJob(source, schedule, repository, self.clock)
            .run(None, force=True, progress=QuietProgress())
            .point
        )

    def content(self, point: RecoveryPoint) -> dict[bytes, bytes]:
        return content_of(Repository(self.store, self.clock), point)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_a_hard_link_whose_other_name_is_not_captured_any_more_keeps_its_content(tree: Tree) -> None:
    (tree.root / "first").write_bytes(b"content")
    os.link(tree.root / "first", tree.root / "second")
    assert tree.backup().stats.source_bytes == 7
    point = tree.backup("first")
    entries = {e.stat.path: e for e in Repository(tree.store, tree.clock).reader(point).entries()}
    assert set(entries) == {b".", b"second"}
    assert entries[b"second"].hardlink is None
    assert tree.content(point) == {b"second": b"content"}


def test_unchanged_hard_links_stay_linked_and_are_not_read_again(tree: Tree) -> None:
    (tree.root / "first").write_bytes(b"content")
    os.link(tree.root / "first", tree.root / "second")
    first, second = tree.backup(), tree.backup()
    assert second.inventory == first.inventory
    assert second.stats == first.stats.__class__(2, 7, 0, 0, 0.0)


@pytest.mark.parametrize("change", ["content", "touch", "mode", "replace", "kind"])
def test_a_changed_file_is_seen(tree: Tree, change: str) -> None:
    path = tree.root / "file"
    path.write_bytes(b"before")
    os.utime(path, ns=(0, 0))
    first = tree.backup()
    if change == "content":
        path.write_bytes(b"after!")
        os.utime(path, ns=(0, 0))  # only ctime tells
    elif change == "touch":
        os.utime(path, ns=(1, 1))
    elif change == "mode":
        path.chmod(0o600)
    else:
        path.unlink()
        if change == "replace":
            path.write_bytes(b"after!")
        else:
            path.symlink_to("elsewhere")
    second = tree.backup()
    assert second.inventory != first.inventory
    if change in ("content", "replace"):
        assert tree.content(second) == {b"file": b"after!"}
