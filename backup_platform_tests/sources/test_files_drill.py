"""A drill must pass for a faithful copy, and reject every difference."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from backup_platform.clock import SILENT
from backup_platform.domain.model import Capture, EntryKind, Status
from backup_platform.domain.ports import DrillReport
from backup_platform.sources.files.source import FileTreeSource
from backup_platform_tests.sources.files_support import (
    LARGE,
    PRIVILEGED,
    AheadClock,
    MemoryRecorder,
    as_nobody,
    capture,
    noise,
    odd_tree,
    point_of,
)
from backup_platform_tests.support import Restored


def drill(captured: Capture, recorder: MemoryRecorder, restored: Path) -> DrillReport:
    source = FileTreeSource(name="tree", root="/nowhere", clock=AheadClock())
    return source.drill(point_of(captured), recorder, Restored(os.fspath(restored)), SILENT)


def test_a_faithful_copy_of_every_oddity_passes(tmp_path: Path) -> None:
    odd_tree(tmp_path / "tree")
    captured, recorder = capture(tmp_path / "tree")
    subprocess.run(["cp", "-a", tmp_path / "tree", tmp_path / "copy"], check=True)
    report = drill(captured, recorder, tmp_path / "copy")
    assert report.differences == ()
    contents = [r for r in recorder.rows if r.stat.kind is EntryKind.FILE and r.hardlink is None]
    assert report.compared == {
        "entries": len(recorder.rows),
        "files": len(contents),
        "bytes": sum(len(recorder.bytes_of(row.stat.path)) for row in contents),
        "facts": 7,
        "differences": 0,
    }


@pytest.fixture(scope="module")
def point(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Capture, MemoryRecorder]:
    root = tmp_path_factory.mktemp("drill") / "tree"
    root.mkdir()
    (root / "dir").mkdir()
    (root / "file").write_bytes(b"0123456789")
    (root / "dir" / "large").write_bytes(noise(2 * LARGE, 1))
    (root / "dir" / "link").symlink_to("large")
    (root / "first").write_bytes(b"shared")
    os.link(root / "first", root / "second")
    with (root / "sparse").open("wb") as file:
        file.truncate(2 << 20)
        file.seek(1 << 20)
        file.write(b"data")
    os.mkfifo(root / "fifo")
    os.setxattr(root / "file", "user.note", b"1")
    captured, recorder = capture(root)
    return root, captured, recorder


def keep_times(act: Callable[[Path], object]) -> Callable[[Path], object]:
    """Do it so that no time tells of it."""

    def quietly(root: Path) -> None:
        stats = {path: os.lstat(path) for path in [root, *root.rglob("*")]}
        act(root)
        for path, st in stats.items():
            if os.path.lexists(path):
                os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns), follow_symlinks=False)

    return quietly


def write_at(name: str, offset: int, data: bytes) -> Callable[[Path], object]:
    def act(root: Path) -> None:
        with (root / name).open("r+b") as file:
            file.seek(offset)
            file.write(data)

    return keep_times(act)


def relink(root: Path) -> None:
    data = (root / "second").read_bytes()
    (root / "second").unlink()
    (root / "second").write_bytes(data)


def replaced_by(name: str, make: Callable[[Path], object]) -> Callable[[Path], object]:
    def act(root: Path) -> None:
        (root / name).unlink()
        make(root / name)

    return keep_times(act)


TAMPERED: dict[str, tuple[Callable[[Path], object], str]] = {
    "one byte": (write_at("file", 5, b"X"), "file: content differs after 0 bytes"),
    "the last byte of a large file": (
        write_at("dir/large", 2 * LARGE - 1, b"\x01\x02"[:1]),
        "dir/large: content",
    ),
    "more content": (write_at("file", 10, b"!"), "file: size is 11 instead of 10"),
    "a hole filled": (write_at("sparse", 100, b"x"), "sparse: has data where the recovery point has a hole"),
    "sparse data": (write_at("sparse", 1 << 20, b"D"), "sparse: content differs"),
    "missing": (keep_times(lambda root: (root / "file").unlink()), "file: was not restored"),
    "extra": (keep_times(lambda root: (root / "extra").touch()), "extra: is not in the recovery point"),
    "extra at the end": (
        keep_times(lambda root: (root / "zzz").touch()),
        "zzz: is not in the recovery point",
    ),
    "mode": (keep_times(lambda root: (root / "file").chmod(0o600)), "file: mode is '0600' instead of"),
    "mode of a directory": (keep_times(lambda root: (root / "dir").chmod(0o700)), "dir: mode is '0700'"),
    "time": (lambda root: os.utime(root / "file", ns=(1, 1)), "file: time of modification is 1 instead of"),
    "time of a link": (
        lambda root: os.utime(root / "dir/link", ns=(1, 1), follow_symlinks=False),
        "dir/link: time",
    ),
    "attribute": (lambda root: os.setxattr(root / "file", "user.note", b"2"), "file: extended attributes"),
    "another attribute": (lambda root: os.setxattr(root / "dir", "user.x", b""), "dir: extended attributes"),
    "link target": (replaced_by("dir/link", lambda path: path.symlink_to("other")), "dir/link: link target"),
    "kind": (replaced_by("fifo", lambda path: path.touch()), "fifo: kind is 'file' instead of 'fifo'"),
    "split hard link": (keep_times(relink), "second: hard link is None instead of b'first'"),
}
if PRIVILEGED:
    TAMPERED["owner"] = (
        lambda root: os.chown(root / "file", 5, 6),
        "file: owner is (5, 6) instead of (0, 0)",
    )


@pytest.mark.parametrize("what", TAMPERED)
def test_each_difference_is_found(
    tmp_path: Path, point: tuple[Path, Capture, MemoryRecorder], what: str
) -> None:
    root, captured, recorder = point
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-a", root, copy], check=True)
    act, expected = TAMPERED[what]
    act(copy)
    report = drill(captured, recorder, copy)
    assert any(line.startswith(expected) for line in report.differences), report.differences
    assert report.compared["differences"] == len(report.differences)


def test_two_files_that_became_one_are_found(
    tmp_path: Path, point: tuple[Path, Capture, MemoryRecorder]
) -> None:
    (tmp_path / "tree").mkdir()
    for name in ("a", "b"):
        (tmp_path / "tree" / name).write_bytes(b"same")
        os.utime(tmp_path / "tree" / name, ns=(1, 1))
    captured, recorder = capture(tmp_path / "tree")
    (tmp_path / "tree" / "b").unlink()
    os.link(tmp_path / "tree" / "a", tmp_path / "tree" / "b")
    assert "b: hard link is b'a' instead of None" in drill(captured, recorder, tmp_path / "tree").differences


def test_an_inventory_that_disagrees_with_the_facts_is_found(
    point: tuple[Path, Capture, MemoryRecorder],
) -> None:
    root, captured, recorder = point
    wrong = replace(captured, facts={**captured.facts, "files": 99, "bytes": 1})
    lines = drill(wrong, recorder, root).differences
    assert "files: the inventory holds 5, the source said 99" in lines
    assert len(lines) == 2


def test_an_empty_restore_is_found(tmp_path: Path, point: tuple[Path, Capture, MemoryRecorder]) -> None:
    _, captured, recorder = point
    (tmp_path / "copy").mkdir()
    report = drill(captured, recorder, tmp_path / "copy")
    missing = [line for line in report.differences if line.endswith("was not restored")]
    assert len(missing) == len(recorder.rows) - 1


def test_many_differences_are_listed_up_to_a_limit(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    for number in range(500):
        (root / f"{number}").touch()
    captured, recorder = capture(root)
    shutil.rmtree(root)
    root.mkdir()
    report = drill(captured, recorder, root)
    assert len(report.differences) == 101
    assert report.differences[-1] == f"and {report.compared['differences'] - 100} more differences"  # type: ignore[operator]


def test_what_was_never_captured_is_not_expected(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    (root / "gone").write_bytes(b"x")
    captured, recorder = capture(
        root, MemoryRecorder(on_reuse=lambda _: (root / "gone").unlink(missing_ok=True))
    )
    assert recorder.row(b"gone").status is Status.VANISHED
    report = drill(captured, recorder, root)
    assert [line for line in report.differences if not line.startswith(".: time")] == []
    assert report.compared["not stored"] == 1


def test_without_root_owners_and_devices_are_not_held_against_it(open_tmp: Path) -> None:
    root = open_tmp / "tree"
    root.mkdir()
    (root / "file").write_bytes(b"x")
    if PRIVILEGED:
        os.mknod(root / "null", 0o020666, os.makedev(1, 3))
    captured, recorder = capture(root)
    subprocess.run(["rsync", "-a", "--no-D", f"{root}/", f"{open_tmp}/copy/"], check=True)
    if PRIVILEGED:
        os.chown(open_tmp / "copy" / "file", 1234, 1234)
    os.utime(open_tmp / "copy", ns=(0, os.stat(root).st_mtime_ns))
    with as_nobody():
        report = drill(captured, recorder, open_tmp / "copy")
    assert report.differences == ()
