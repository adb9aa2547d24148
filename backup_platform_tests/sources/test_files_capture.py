"""What a capture records of a tree that holds still."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from backup_platform.domain.model import Content, EntryKind, Status
from backup_platform.errors import SourceError, SourceFormatError, SourceMissingError
from backup_platform.filesystem.paths import order
from backup_platform.sources.files.source import FileTreeSource
from backup_platform_tests.sources.files_support import (
    ACCESS,
    DEFAULT,
    PRIVILEGED,
    AheadClock,
    MemoryRecorder,
    as_nobody,
    capture,
    long_path,
    noise,
    odd_tree,
    point_of,
)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("odd") / "tree"
    odd_tree(root)
    return root


@pytest.fixture(scope="module")
def recorder(odd: Path) -> MemoryRecorder:
    captured, recorder = capture(odd)
    assert captured.problems == ()
    assert not captured.incomplete
    return recorder


def test_every_path_is_recorded_once_in_walk_order(odd: Path, recorder: MemoryRecorder) -> None:
    raw = os.fsencode(odd)
    expected = [b"."]
    for directory, names, files in os.walk(raw):
        expected += [os.path.relpath(os.path.join(directory, name), raw) for name in names + files]
    assert recorder.paths == sorted(expected, key=order)


def test_each_kind_is_recorded_as_what_it_is(recorder: MemoryRecorder) -> None:
    kinds = {
        b".": EntryKind.DIRECTORY,
        b"small": EntryKind.FILE,
        b"dir/deep": EntryKind.DIRECTORY,
        b"link": EntryKind.SYMLINK,
        b"fifo": EntryKind.FIFO,
        b"socket": EntryKind.SOCKET,
    }
    if PRIVILEGED:
        kinds |= {b"null": EntryKind.CHAR_DEVICE, b"loop": EntryKind.BLOCK_DEVICE}
        assert recorder.row(b"null").stat.rdev == os.makedev(1, 3)
    assert {path: recorder.row(path).stat.kind for path in kinds} == kinds


def test_rows_carry_what_lstat_says(odd: Path, recorder: MemoryRecorder) -> None:
    stat, found = recorder.row(b"zeros").stat, os.lstat(odd / "zeros")
    assert stat.mode == 0o6755
    assert (stat.uid, stat.gid, stat.size) == (found.st_uid, found.st_gid, 70_000)
    assert (stat.mtime_ns, stat.ctime_ns) == (found.st_mtime_ns, found.st_ctime_ns)
    assert (stat.inode, stat.device, stat.nlink) == (found.st_ino, found.st_dev, found.st_nlink)
    assert recorder.row(b"small").stat.mtime_ns == -5_000_000_001


def test_contents_are_stored_whole(odd: Path, recorder: MemoryRecorder) -> None:
    for name in ("small", "exactly", "large", "zeros", "dir/299"):
        assert recorder.bytes_of(os.fsencode(name)) == (odd / name).read_bytes()
        assert recorder.row(os.fsencode(name)).extents is None
    assert recorder.row(b"empty").content == Content()
    assert len(recorder.row(b"exactly").content.ids()) == 1


def test_names_of_any_bytes(recorder: MemoryRecorder) -> None:
    for name in (b"\xff\xfe", b"new\nline", b"-rf *", b"n" * 255):
        assert recorder.bytes_of(b"dir/" + name) == name


def test_paths_longer_than_the_kernel_takes(tmp_path: Path) -> None:
    path = long_path(tmp_path, 40)
    assert len(path) > 8000
    captured, recorder = capture(tmp_path)
    assert captured.problems == ()
    assert recorder.bytes_of(path) == b"deep down"
    assert recorder.row(path).xattrs == ((b"user.deep", b"yes"),)
    link = recorder.row(path.removesuffix(b"file") + b"link")
    assert (link.stat.kind, link.link_target) == (EntryKind.SYMLINK, b"file")
    assert recorder.row(path.removesuffix(b"file") + b"other").hardlink == path
    assert point_of(captured).facts["files"] == 2


def test_links_are_recorded_and_not_followed(recorder: MemoryRecorder) -> None:
    assert recorder.row(b"link").link_target == b"dir/deep"
    assert recorder.row(b"dangling").link_target == b"nowhere/\xff"
    assert recorder.row(b"long-link").link_target == b"x" * 4000
    assert not any(path.startswith(b"link/") for path in recorder.paths)


def test_of_several_names_the_first_has_the_content(recorder: MemoryRecorder) -> None:
    assert recorder.row(b"a-hard").hardlink is None
    assert recorder.bytes_of(b"a-hard") == noise(5000, 77)
    for path, holder in (
        (b"dir/b-hard", b"a-hard"),
        (b"z-hard", b"a-hard"),
        (b"dir/deep/er/big-hard", b"big-hard"),
    ):
        row = recorder.row(path)
        assert (row.hardlink, row.content, row.stat.size) == (
            holder,
            Content(),
            recorder.row(holder).stat.size,
        )


def test_holes_are_not_stored(recorder: MemoryRecorder) -> None:
    large = recorder.row(b"sparse-large")
    assert large.stat.size == 64 << 20
    assert large.extents is not None
    assert sum(length for _, length in large.extents) < 2 << 20
    assert len(recorder.bytes_of(b"sparse-large")) == sum(length for _, length in large.extents)
    small = recorder.row(b"sparse")
    assert small.extents is not None
    assert small.extents[0][0] <= 100_000
    assert recorder.bytes_of(b"sparse").find(noise(5000, 100_000)) == 100_000 - small.extents[0][0]
    assert recorder.row(b"all-hole").extents == ()
    assert recorder.row(b"all-hole").content == Content()


def test_attributes_and_acls(recorder: MemoryRecorder) -> None:
    attributes = dict(recorder.row(b"small").xattrs)
    assert attributes[b"user.note"] == b"\x00\xffbinary"
    assert attributes[b"user.empty"] == b""
    assert attributes[b"system.posix_acl_access"] == ACCESS
    assert dict(recorder.row(b"dir.d").xattrs)[b"system.posix_acl_default"] == DEFAULT
    if PRIVILEGED:
        assert attributes[b"trusted.secret"] == b"t"
        assert b"security.capability" in dict(recorder.row(b"exactly").xattrs)


def test_names_of_owners(odd: Path, recorder: MemoryRecorder) -> None:
    assert recorder.row(b"small").user == odd.owner()
    assert recorder.row(b"small").group == odd.group()
    if PRIVILEGED:
        assert (recorder.row(b"exactly").stat.uid, recorder.row(b"exactly").user) == (1234, "")


def test_facts_count_what_is_there(odd: Path, recorder: MemoryRecorder) -> None:
    captured, _ = capture(odd)
    rows = recorder.rows
    files = [row for row in rows if row.stat.kind is EntryKind.FILE]
    assert captured.facts == {
        "root": str(odd),
        "files": len(files),
        "directories": sum(row.stat.kind is EntryKind.DIRECTORY for row in rows),
        "symlinks": sum(row.stat.kind is EntryKind.SYMLINK for row in rows),
        "other": 4 if PRIVILEGED else 2,
        "bytes": sum(row.stat.size for row in files if row.hardlink is None),
        "hardlinks": sum(row.hardlink is not None for row in rows),
        "problems": 0,
        "excluded": 0,
    }


def test_an_unchanged_tree_is_not_read(odd: Path, recorder: MemoryRecorder) -> None:
    again = MemoryRecorder(previous={row.stat.path: row for row in recorder.rows})
    captured, _ = capture(odd, again)
    assert again.stored == 0
    assert again.rows == recorder.rows
    assert captured.facts["bytes"] == sum(
        row.stat.size for row in recorder.rows if row.stat.kind is EntryKind.FILE and row.hardlink is None
    )


def test_reading_leaves_access_times_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    os.utime(tmp_path / "file", ns=(5, 10**18))
    capture(tmp_path)
    assert os.lstat(tmp_path / "file").st_atime_ns == 5


def test_rows_come_in_bounded_batches(tmp_path: Path) -> None:
    for name in range(5_000):
        os.mkfifo(tmp_path / str(name))
    _, recorder = capture(tmp_path)
    assert recorder.batches == [2048, 2048, 5_001 - 2 * 2048]


def test_a_tree_deeper_than_the_limit_of_open_files(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    for _ in range(400):
        for name in (b"a", b"z"):
            os.mkdir(name, dir_fd=fd)
        inner = os.open(b"a", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (180, hard))
    try:
        captured, recorder = capture(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert captured.problems == ()
    assert recorder.paths == sorted(set(recorder.paths), key=order)
    assert len(recorder.paths) == 801


def test_a_first_link_that_is_reused_holds_the_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"shared")
    os.link(tmp_path / "a", tmp_path / "b")
    _, before = capture(tmp_path)
    captured, again = capture(tmp_path, MemoryRecorder(previous={r.stat.path: r for r in before.rows}))
    assert again.stored == 0
    assert again.row(b"a") == before.row(b"a")
    assert again.row(b"b").hardlink == b"a"
    assert (captured.facts["bytes"], captured.facts["hardlinks"]) == (6, 1)


def test_a_link_whose_first_name_is_excluded_now_gets_the_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"shared")
    os.link(tmp_path / "a", tmp_path / "b")
    _, before = capture(tmp_path)
    recorder = MemoryRecorder(previous={row.stat.path: row for row in before.rows})
    capture(tmp_path, recorder, exclude=("a",))
    assert recorder.row(b"b").hardlink is None
    assert recorder.bytes_of(b"b") == b"shared"


def test_a_large_file_is_streamed_in_blocks(tmp_path: Path) -> None:
    data = noise(10 << 20, 5)
    (tmp_path / "large").write_bytes(data)
    _, recorder = capture(tmp_path)
    assert recorder.bytes_of(b"large") == data
    assert recorder.blocks == 5


def test_captured_at_is_the_start_of_the_walk(tmp_path: Path) -> None:
    clock = AheadClock()
    before = clock.now()
    captured, _ = capture(tmp_path)
    assert before <= captured.captured_at <= clock.now()


def test_a_root_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceMissingError, match="does not exist"):
        capture(tmp_path / "absent")


def test_a_root_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SourceFormatError, match="not a directory"):
        capture(tmp_path / "file")


def test_a_root_that_may_not_be_read(open_tmp: Path) -> None:
    (open_tmp / "closed").mkdir(mode=0)
    with as_nobody(), pytest.raises(SourceError, match="Permission denied"):
        capture(open_tmp / "closed")


def test_a_root_named_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(b"x")
    (tmp_path / "current").symlink_to("tree")
    _, recorder = capture(tmp_path / "current")
    assert recorder.paths == [b".", b"file"]


def test_an_empty_root_is_a_fact(tmp_path: Path) -> None:
    captured, recorder = capture(tmp_path)
    assert recorder.paths == [b"."]
    assert captured.facts["files"] == 0


def test_the_source_touches_nothing_before_it_is_used(tmp_path: Path) -> None:
    source = FileTreeSource(name="tree", root=str(tmp_path / "absent"), clock=AheadClock())
    assert (source.name, source.kind) == ("tree", "files")


def test_status_is_ok_for_all(recorder: MemoryRecorder) -> None:
    assert {row.status for row in recorder.rows} == {Status.OK}
