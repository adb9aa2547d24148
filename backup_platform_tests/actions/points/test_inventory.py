"""The difference of two inventories, against a slow way to compute it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup_platform.actions.points.inventory import Difference, diff_entries, list_entries
from backup_platform.domain.model import Content, Entry, EntryKind, Stat, Status
from backup_platform.errors import NotFoundError
from backup_platform_tests.support import small_bench, walk_order

ROOT = Entry(Stat(b".", EntryKind.DIRECTORY, 0o755, 0, 0, 0, 1, 1, 1, 1, 1, 0))
NAMES = st.sampled_from([b"a", b"a!", b"a-b", b"\xff", b"b"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(b"/".join)
KINDS = st.sampled_from([EntryKind.FILE, EntryKind.FILE, EntryKind.DIRECTORY])
TREES = st.dictionaries(
    PATHS, st.tuples(KINDS, st.integers(0, 1), st.integers(0, 1), st.integers(0, 1)), max_size=12
)


def rows(tree: dict[bytes, tuple[EntryKind, int, int, int]]) -> list[Entry]:
    made = [ROOT]
    for path, (kind, content, mode, ctime) in tree.items():
        stat = Stat(path, kind, 0o600 + mode, 0, 0, content, 1, ctime, ctime, 1, 1, 0)
        made.append(Entry(stat, content=Content(bytes([content]) * 32)))
    return sorted(made, key=lambda entry: walk_order(entry.stat.path))


@given(before=TREES, after=TREES)
def test_differences(
    before: dict[bytes, tuple[EntryKind, int, int, int]], after: dict[bytes, tuple[EntryKind, int, int, int]]
) -> None:
    old, new = rows(before), rows(after)
    stats = {e.stat.path: e.stat for e in old}, {e.stat.path: e.stat for e in new}
    expected = []
    for path in sorted(before.keys() | after.keys(), key=walk_order):
        a, b = before.get(path), after.get(path)
        if a is None or b is None:
            expected.append(
                Difference(path, "added" if a is None else "removed", stats[0].get(path), stats[1].get(path))
            )
        elif a[:2] != b[:2]:
            expected.append(Difference(path, "changed", stats[0][path], stats[1][path]))
        elif a[2] != b[2]:
            expected.append(Difference(path, "metadata", stats[0][path], stats[1][path]))
    assert list(diff_entries(iter(old), iter(new))) == expected
    of_database = diff_entries(iter(old), iter(new), metadata=False)
    assert list(of_database) == [each for each in expected if each.change != "metadata"]


FILE = Entry(
    Stat(b"f", EntryKind.FILE, 0o644, 1, 1, 5, 1, 1, 1, 1, 1, 0), user="u", content=Content(bytes(32))
)
LINK = FILE._replace(stat=FILE.stat._replace(kind=EntryKind.SYMLINK), link_target=b"x", content=Content())


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        (FILE, FILE._replace(status=Status.UNREADABLE), "changed"),
        (FILE, FILE._replace(extents=((0, 5),)), "changed"),
        (FILE, FILE._replace(hardlink=b"e"), "changed"),
        (FILE, FILE._replace(stat=FILE.stat._replace(size=6)), "changed"),
        (LINK, LINK._replace(link_target=b"y"), "changed"),
        (FILE, LINK, "changed"),
        (FILE, FILE._replace(user="v"), "metadata"),
        (FILE, FILE._replace(xattrs=((b"a", b"b"),)), "metadata"),
        (FILE, FILE._replace(stat=FILE.stat._replace(mtime_ns=2)), "metadata"),
        (FILE, FILE._replace(stat=FILE.stat._replace(uid=2)), "metadata"),
        (FILE, FILE._replace(stat=FILE.stat._replace(inode=9, device=9, ctime_ns=9, nlink=2)), None),
        (LINK, LINK._replace(stat=LINK.stat._replace(size=9)), None),
    ],
)
def test_what_counts_as_which_change(before: Entry, after: Entry, change: str | None) -> None:
    found = [d.change for d in diff_entries(iter([ROOT, before]), iter([ROOT, after]))]
    assert found == ([change] if change else [])


def test_of_two_points(tmp_path: Path) -> None:
    bench = small_bench(tmp_path)
    first = bench.backup()
    bench.source.write(b"large", b"other")
    bench.source.write(b"docs/new", b"new")
    bench.source.remove(b"docs/small")
    second = bench.backup()
    repository = bench.open()
    found = diff_entries(*(iter(repository.reader(point).entries()) for point in (first, second)))
    assert [(d.path, d.change) for d in found] == [
        (b"docs/new", "added"),
        (b"docs/small", "removed"),
        (b"large", "changed"),
    ]


def listed(path: str | None) -> list[bytes]:
    names = [b".", b"a", b"a/b", b"a/b/c", b"a-b", b"\xff/x"]
    entries = [ROOT._replace(stat=ROOT.stat._replace(path=name)) for name in names]
    return [entry.stat.path for entry in list_entries(entries, path)]


def test_listing_a_part_of_an_inventory() -> None:
    assert len(listed(None)) == len(listed(".")) == len(listed("/")) == 6
    assert listed("a") == listed("/a/") == [b"a", b"a/b", b"a/b/c"]
    assert listed("a/b/c") == [b"a/b/c"]
    assert listed("\udcff") == [b"\xff/x"]
    with pytest.raises(NotFoundError, match="'b'"):
        listed("b")
