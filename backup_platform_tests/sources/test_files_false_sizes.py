"""Files that say another size than they have: those of the kernel, which every machine has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backup_platform.domain.model import Status
from backup_platform.sources.files.failures import WAIT_TEXT
from backup_platform_tests.sources.files_support import MemoryRecorder, capture, noise


def only(*names: str) -> tuple[str, ...]:
    return ("*", *(f"!{name}" for name in names))


@pytest.mark.parametrize(
    ("directory", "name", "said"),
    [
        ("/proc", "version", 0),
        ("/proc", "kallsyms", 0),  # of some megabytes, so that it is read block by block
        ("/sys/devices/system/cpu", "possible", 4096),
    ],
)
def test_it_is_read_to_its_end(directory: str, name: str, said: int) -> None:
    path = Path(directory, name)
    assert path.stat().st_size == said
    captured, recorder = capture(Path(directory), exclude=only(name))
    content, row = path.read_bytes(), recorder.row(name.encode())
    assert recorder.bytes_of(name.encode()) == content
    assert (row.stat.size, row.status) == (len(content), Status.CHANGED)
    assert row.problem == f"its reported size was {said:,} bytes, but {len(content):,} were read"
    assert [problem.path for problem in captured.problems] == [name]
    assert (captured.facts["bytes"], captured.incomplete) == (len(content), False)


def test_a_file_without_an_end_is_given_up() -> None:
    captured, recorder = capture(Path(f"/proc/{os.getpid()}"), exclude=only("pagemap"))
    row = recorder.row(b"pagemap")
    assert (row.status, row.stat.size) == (Status.UNREADABLE, 0)
    assert row.problem == "it is a file of the kernel (procfs) with more than 16 MiB, and may have no end"
    assert captured.incomplete


def test_a_file_that_lets_its_readers_wait_is_given_up() -> None:
    _, recorder = capture(Path("/proc"), exclude=only("kmsg"))
    row = recorder.row(b"kmsg")
    assert row.status is Status.UNREADABLE
    assert row.problem in (WAIT_TEXT, "Permission denied", "Operation not permitted")


@pytest.mark.parametrize("size", [0, 1, 4096, 1 << 20, (1 << 20) + 1, 3 << 20])
@pytest.mark.parametrize("sparse", [False, True])
def test_a_true_size_is_no_change(tmp_path: Path, size: int, sparse: bool) -> None:
    with open(tmp_path / "file", "wb") as file:
        file.write(noise(size, 1))
        file.truncate(size + sparse * 5_000_000)
    captured, recorder = capture(tmp_path, MemoryRecorder())
    assert captured.problems == ()
    assert recorder.row(b"file").stat.size == os.stat(tmp_path / "file").st_size
