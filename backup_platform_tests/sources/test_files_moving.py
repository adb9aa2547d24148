"""Files that change, shrink, vanish, turn into something else or cannot be read while they are captured."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backup_platform.domain.model import Capture, Content, EntryKind, Status
from backup_platform.errors import RepositoryError, StoreError
from backup_platform_tests.sources.files_support import LARGE, MemoryRecorder, as_nobody, capture, noise


def after_the_walk(act: Callable[[], object]) -> MemoryRecorder:
    """A recorder that changes the tree when the walk has passed it and nothing is read yet."""

    def on_reuse(_: object) -> None:
        act()

    return MemoryRecorder(on_reuse=on_reuse)


def at_block(number: int, act: Callable[[], object]) -> MemoryRecorder:
    """A recorder that changes the tree while a large file is read."""

    def on_block(block: int) -> None:
        if block == number:
            act()

    return MemoryRecorder(on_block=on_block)


def statuses(captured: Capture) -> list[tuple[str, Status]]:
    return [(problem.path, problem.status) for problem in captured.problems]


def test_changed_once_is_read_again_and_is_no_problem(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(noise(12 << 20, 1))
    captured, recorder = capture(tmp_path, at_block(1, lambda: path.write_bytes(noise(12 << 20, 2))))
    assert captured.problems == ()
    assert recorder.row(b"log").status is Status.OK
    assert recorder.bytes_of(b"log") == noise(12 << 20, 2)
    assert recorder.row(b"log").stat.mtime_ns == os.lstat(path).st_mtime_ns


def test_changed_twice_is_marked_and_stored(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(noise(9 << 20, 1))

    def touch(block: int) -> None:
        os.utime(path, ns=(block, block))

    captured, recorder = capture(tmp_path, MemoryRecorder(on_block=touch))
    assert statuses(captured) == [("log", Status.CHANGED)]
    assert not captured.incomplete
    assert "twice" in recorder.row(b"log").problem
    assert recorder.bytes_of(b"log") == noise(9 << 20, 1)
    assert captured.facts["problems"] == 1


def test_shrinking_records_what_was_read(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(noise(20 << 20, 1))
    recorder = MemoryRecorder(on_block=lambda _: os.truncate(path, max(0, os.path.getsize(path) - (1 << 20))))
    captured, _ = capture(tmp_path, recorder)
    row = recorder.row(b"log")
    assert row.status is Status.CHANGED
    data = recorder.bytes_of(b"log")
    assert row.stat.size == len(data) < 20 << 20
    assert all(page in (sound, bytes(len(sound))) for page, sound in pages(data, noise(20 << 20, 1)))
    assert captured.facts["bytes"] == len(data)


def pages(*both: bytes) -> Iterator[tuple[bytes, ...]]:
    """A read that meets a truncation may get zeros in the place of what is gone, as Linux does it."""
    shorter = min(map(len, both))
    for start in range(0, shorter, 4096):
        yield tuple(data[start : min(start + 4096, shorter)] for data in both)


def test_growing_records_what_was_read(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(noise(9 << 20, 1))

    def grow(_: int) -> None:
        with path.open("ab") as file:
            file.write(b"more")

    captured, recorder = capture(tmp_path, MemoryRecorder(on_block=grow))
    row = recorder.row(b"log")
    assert row.status is Status.CHANGED
    assert row.stat.size == len(recorder.bytes_of(b"log")) >= 9 << 20
    assert captured.facts["bytes"] == row.stat.size


def test_a_sparse_file_that_shrinks(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    with path.open("wb") as file:
        file.truncate(64 << 20)
        for offset in range(0, 64 << 20, 8 << 20):
            file.seek(offset)
            file.write(noise(LARGE, offset))
    size = iter(range((40 << 20) + 100, 0, -(8 << 20)))
    recorder = MemoryRecorder(
        on_block=lambda block: os.truncate(path, next(size)) if block in (2, 4) else None
    )
    capture(tmp_path, recorder)
    row = recorder.row(b"disk")
    assert row.status is Status.CHANGED
    assert row.extents is not None
    assert sum(length for _, length in row.extents) == len(recorder.bytes_of(b"disk"))
    assert row.stat.size == sum(row.extents[-1])


def test_a_small_file_that_never_holds_still(tmp_path: Path) -> None:
    path = tmp_path / "counter"
    path.write_bytes(bytes(1 << 20))
    done = threading.Event()

    def write() -> None:
        fd = os.open(path, os.O_WRONLY)
        while not done.is_set():
            os.pwrite(fd, b"x", 0)
        os.close(fd)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen = set()
        # On a busy machine the writer's turn comes seldom while a file is read.
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            captured, recorder = capture(tmp_path)
            row = recorder.row(b"counter")
            seen.add(row.status)
            assert len(recorder.bytes_of(b"counter")) == row.stat.size == 1 << 20
            if row.status is Status.CHANGED:
                assert statuses(captured) == [("counter", Status.CHANGED)]
                break
    finally:
        done.set()
        writer.join()
    assert Status.CHANGED in seen


@pytest.mark.parametrize("size", [100, LARGE])
def test_replaced_by_renaming_is_captured_as_the_new_file(tmp_path: Path, size: int) -> None:
    (tmp_path / "config").write_bytes(noise(size, 1))
    (tmp_path / ".new").write_bytes(noise(size + 5, 2))
    recorder = after_the_walk(lambda: os.rename(tmp_path / ".new", tmp_path / "config"))
    captured, _ = capture(tmp_path, recorder)
    assert recorder.bytes_of(b"config") == noise(size + 5, 2)
    row = recorder.row(b"config")
    assert (row.status, row.stat.size) == (Status.OK, size + 5)
    assert row.stat.inode == os.lstat(tmp_path / "config").st_ino
    assert statuses(captured) == [(".new", Status.VANISHED)]


@pytest.mark.parametrize("size", [0, 100, LARGE])
def test_grown_between_walk_and_reading_is_captured_as_it_is_then(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(noise(size, 1))
    captured, recorder = capture(tmp_path, after_the_walk(lambda: path.write_bytes(noise(2 * LARGE, 2))))
    assert captured.problems == ()
    assert recorder.bytes_of(b"file") == noise(2 * LARGE, 2)
    assert captured.facts["bytes"] == recorder.row(b"file").stat.size == 2 * LARGE


@pytest.mark.parametrize("size", [0, 100, LARGE])
def test_vanished_before_it_is_read(tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(noise(size, 1))
    captured, recorder = capture(tmp_path, after_the_walk((tmp_path / "file").unlink))
    assert statuses(captured) == [("file", Status.VANISHED)]
    assert captured.incomplete
    row = recorder.row(b"file")
    assert (row.status, row.stat.size, row.content) == (Status.VANISHED, size, Content())
    assert row.problem == "No such file or directory"


def test_vanished_with_its_directory(tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "file").write_bytes(b"x")
    (tmp_path / "dir" / "link").symlink_to("file")
    recorder = after_the_walk(lambda: os.rename(tmp_path / "dir", tmp_path / "moved"))
    captured, _ = capture(tmp_path, recorder)
    assert statuses(captured) == [(name, Status.VANISHED) for name in ("dir", "dir/file", "dir/link")]


@pytest.mark.parametrize("size", [100, LARGE])
def test_a_fifo_in_its_place_is_not_read(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(noise(size, 1))

    def replace() -> None:
        path.unlink()
        os.mkfifo(path)

    captured, recorder = capture(tmp_path, after_the_walk(replace))
    assert statuses(captured) == [("file", Status.VANISHED)]
    assert recorder.stored == 0


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"outside")
    root = tmp_path / "root"
    root.mkdir()
    (root / "file").write_bytes(b"inside!")

    def replace() -> None:
        (root / "file").unlink()
        (root / "file").symlink_to(tmp_path / "secret")

    captured, recorder = capture(root, after_the_walk(replace))
    assert statuses(captured) == [("file", Status.VANISHED)]
    assert recorder.stored == 0


def test_a_link_in_place_of_a_directory_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_bytes(b"outside")
    root = tmp_path / "root"
    (root / "dir").mkdir(parents=True)
    (root / "dir" / "file").write_bytes(b"inside!")

    def replace() -> None:
        os.rename(root / "dir", tmp_path / "away")
        (root / "dir").symlink_to(tmp_path / "outside")

    captured, recorder = capture(root, after_the_walk(replace))
    assert ("dir/file", Status.VANISHED) in statuses(captured)
    assert recorder.stored == 0


def test_when_the_first_name_vanishes_the_second_gets_the_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"shared")
    for name in ("b", "c"):
        os.link(tmp_path / "a", tmp_path / name)
    captured, recorder = capture(tmp_path, after_the_walk((tmp_path / "a").unlink))
    assert statuses(captured) == [("a", Status.VANISHED)]
    assert recorder.bytes_of(b"b") == b"shared"
    assert recorder.row(b"b").hardlink is None
    assert recorder.row(b"c").hardlink == b"b"


def test_unreadable_files_and_directories(open_tmp: Path) -> None:
    (open_tmp / "closed").mkdir()
    (open_tmp / "closed" / "file").write_bytes(b"x")
    (open_tmp / "listed").mkdir()
    (open_tmp / "listed" / "file").write_bytes(b"x")
    (open_tmp / "listed" / "link").symlink_to("file")
    for size in (100, LARGE):
        (open_tmp / f"file-{size}").write_bytes(noise(size, 1))
        (open_tmp / f"file-{size}").chmod(0)
    (open_tmp / "good").write_bytes(b"good")
    (open_tmp / "closed").chmod(0o700 if os.geteuid() == 0 else 0)
    (open_tmp / "listed").chmod(0o744 if os.geteuid() == 0 else 0o444)
    with as_nobody():
        captured, recorder = capture(open_tmp)
    names = ["closed", "file-100", f"file-{LARGE}", "listed/file", "listed/link"]
    assert statuses(captured) == [(name, Status.UNREADABLE) for name in names]
    assert captured.incomplete
    assert {problem.detail for problem in captured.problems} == {"Permission denied"}
    assert recorder.row(b"closed").stat.kind is EntryKind.DIRECTORY
    assert recorder.row(b"listed/link").stat.kind is EntryKind.SYMLINK
    assert recorder.row(b"listed/link").link_target is None
    assert recorder.bytes_of(b"good") == b"good"
    assert recorder.row(b"file-100").content == Content()


def test_other_users_files_are_read_where_allowed(open_tmp: Path) -> None:
    (open_tmp / "file").write_bytes(b"readable")
    with as_nobody():
        captured, recorder = capture(open_tmp)
    assert captured.problems == ()
    assert recorder.bytes_of(b"file") == b"readable"


def refuse(error: Exception) -> Callable[[object], None]:
    def act(_: object) -> None:
        raise error

    return act


@pytest.mark.parametrize("size", [100, LARGE])
@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        FileNotFoundError(errno.ENOENT, "No such file or directory"),
        StoreError("The store is away."),
    ],
)
def test_what_the_repository_raises_is_not_taken_for_the_sources(
    tmp_path: Path, size: int, error: Exception
) -> None:
    for number in range(300):
        (tmp_path / f"{number:03}").write_bytes(noise(size if number == 7 else 10, number))
    recorder = (
        MemoryRecorder(on_blob=refuse(error)) if size == 100 else MemoryRecorder(on_block=refuse(error))
    )
    with pytest.raises(type(error)) as raised:
        capture(tmp_path, recorder)
    assert raised.value is error
    assert recorder.rows == []


def test_a_failing_repository_leaves_no_thread_behind(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(noise(20 << 20, 1))
    before = threading.active_count()
    with pytest.raises(RepositoryError):
        capture(tmp_path, MemoryRecorder(on_block=refuse(RepositoryError("broken"))))
    assert threading.active_count() == before


def test_problems_have_printable_paths(tmp_path: Path) -> None:
    raw = os.path.join(os.fsencode(tmp_path), b"\xff\n\x1b[31m")
    with open(raw, "wb") as file:
        file.write(b"x")
    captured, _ = capture(tmp_path, after_the_walk(lambda: os.unlink(raw)))
    assert [problem.path for problem in captured.problems] == ["\\xff\\n\\x1b[31m"]


def test_many_problems_are_counted(open_tmp: Path) -> None:
    for number in range(12_000):
        os.close(os.open(open_tmp / str(number), os.O_CREAT | os.O_WRONLY, 0))
    with as_nobody():
        captured, recorder = capture(open_tmp)
    assert captured.facts["problems"] == 12_000
    assert len(captured.problems) == 10_000
    assert sum(row.status is Status.UNREADABLE for row in recorder.rows) == 12_000
