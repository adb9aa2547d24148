"""What is left out of a capture, and what symbolic links may bring in."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from backup_platform.domain.model import EntryKind
from backup_platform.errors import PlanError
from backup_platform_tests.sources.files_support import capture

FILES = (
    "a.tmp",
    "keep.tmp",
    "build/out.o",
    "src/build/out.o",
    "src/main.c",
    "src/deep/er/x.log",
    "logs/x.log",
    "logs/keep/x.log",
    "cache",
    "data/cache/file",
    "#hash",
    "sp ace",
    "[odd]",
)
PATTERNS = (
    ("*.tmp",),
    ("*.tmp", "!keep.tmp"),
    ("/build/",),
    ("build/",),
    ("src/**/*.log",),
    ("logs/*", "!logs/keep"),
    ("logs/", "!logs/keep"),
    ("cache/",),
    ("\\#hash", "sp?ace", "\\[odd\\]"),
    ("# a comment", "", "main.*"),
    ("*", "!*/", "!*.c"),
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def captured_files(root: Path, *patterns: str) -> set[str]:
    _, recorder = capture(root, exclude=patterns)
    return {os.fsdecode(row.stat.path) for row in recorder.rows if row.stat.kind is EntryKind.FILE}


@pytest.mark.parametrize("patterns", PATTERNS)
def test_patterns_mean_what_they_mean_to_git(tree: Path, patterns: tuple[str, ...]) -> None:
    kept = captured_files(tree, *patterns)
    subprocess.run(["git", "init", "-q", tree], check=True)
    (tree / ".git/info/exclude").write_text("\n".join(patterns) + "\n")
    listed = subprocess.run(
        ["git", "-C", tree, "-c", "core.excludesFile=", "ls-files", "-z", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert kept == set(filter(None, listed.stdout.split("\0")))


def test_excluded_directories_are_not_entered(tree: Path) -> None:
    captured, recorder = capture(tree, exclude=("src/",))
    assert not any(path.startswith(b"src") for path in recorder.paths)
    assert captured.facts["excluded"] == 1
    assert captured.problems == ()


def test_what_is_excluded_is_counted(tree: Path) -> None:
    captured, _ = capture(tree, exclude=("*.tmp", "build/", "x.log"))
    assert captured.facts["excluded"] == 2 + 2 + 3


def test_names_that_are_not_utf8_can_be_excluded(tmp_path: Path) -> None:
    for name in (b"\xff.tmp", b"\xff.txt"):
        (Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name)))).touch()
    _, recorder = capture(tmp_path, exclude=("*.tmp",))
    assert recorder.paths == [b".", b"\xff.txt"]


def test_a_pattern_that_is_not_valid(tree: Path) -> None:
    with pytest.raises(PlanError, match="exclude pattern"):
        capture(tree, exclude=("!",))


SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55\n# made by a test\n"


def test_contents_of_tagged_caches_are_left_out(tree: Path) -> None:
    (tree / "data/cache/CACHEDIR.TAG").write_bytes(SIGNATURE)
    captured, recorder = capture(tree, exclude_caches=True)
    below = [path for path in recorder.paths if path.startswith(b"data")]
    assert below == [b"data", b"data/cache", b"data/cache/CACHEDIR.TAG"]
    assert captured.facts["excluded"] == 1


def test_tags_count_only_when_asked_and_with_the_signature(tree: Path) -> None:
    (tree / "data/cache/CACHEDIR.TAG").write_bytes(SIGNATURE)
    (tree / "src/CACHEDIR.TAG").write_bytes(b"not a signature at all, whatever it looks like")
    assert "data/cache/file" in {os.fsdecode(path) for path in capture(tree)[1].paths}
    _, recorder = capture(tree, exclude_caches=True)
    assert b"src/main.c" in recorder.paths


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """A directory on another file system than its parent."""
    made = tempfile.mkdtemp(prefix="backup-platform-test-", dir="/dev/shm")
    yield os.path.basename(made)
    shutil.rmtree(made)


def test_one_file_system_records_the_mount_point_only(elsewhere: str) -> None:
    (Path("/dev/shm") / elsewhere / "file").write_bytes(b"x")
    patterns = ("/*", "!/shm", "/shm/*", f"!/shm/{elsewhere}")
    below = os.fsencode(f"shm/{elsewhere}/file")
    _, recorder = capture(Path("/dev"), exclude=patterns)
    assert below in recorder.paths
    captured, recorder = capture(Path("/dev"), exclude=patterns, one_file_system=True)
    assert recorder.paths == [b".", b"shm"]
    assert captured.facts["excluded"] != 0


def test_links_inside_the_root_can_be_followed(tree: Path) -> None:
    (tree / "linked").symlink_to("src")
    (tree / "linked-file").symlink_to("src/main.c")
    captured, recorder = capture(tree, follow_symlinks=True)
    assert recorder.bytes_of(b"linked/main.c") == b"src/main.c"
    assert recorder.bytes_of(b"linked-file") == b"src/main.c"
    assert recorder.row(b"linked").stat.kind is EntryKind.DIRECTORY
    assert captured.problems == ()
    assert captured.facts["symlinks"] == 0


def test_links_out_of_the_root_stay_links(tree: Path) -> None:
    (tree.parent / "outside").mkdir()
    (tree.parent / "outside" / "file").write_bytes(b"secret")
    (tree.parent / "tree-sibling").write_bytes(b"secret")
    for name, target in (
        ("abs", tree.parent / "outside"),
        ("rel", "../outside/file"),
        ("near", "../tree-sibling"),
    ):
        (tree / name).symlink_to(target)
    _, recorder = capture(tree, follow_symlinks=True)
    assert {recorder.row(name).stat.kind for name in (b"abs", b"rel", b"near")} == {EntryKind.SYMLINK}
    assert recorder.row(b"rel").link_target == b"../outside/file"


def test_cycles_of_links_end(tree: Path) -> None:
    (tree / "src/up").symlink_to("..")
    (tree / "src/self").symlink_to("self")
    (tree / "src/deep/back").symlink_to("../../logs")
    (tree / "logs/forth").symlink_to("../src/deep")
    captured, recorder = capture(tree, follow_symlinks=True)
    assert recorder.row(b"src/up").stat.kind is EntryKind.SYMLINK
    assert recorder.row(b"src/self").stat.kind is EntryKind.SYMLINK
    assert recorder.bytes_of(b"src/deep/back/x.log") == b"logs/x.log"
    assert recorder.row(b"src/deep/back/forth").stat.kind is EntryKind.SYMLINK
    assert captured.problems == ()
