"""Trees with every oddity, a recorder in memory that can interfere, and the tool that judges equality."""

from __future__ import annotations

import hashlib
import importlib
import os
import pkgutil
import shutil
import socket
import stat
import struct
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from backup_platform import filesystem, repository
from backup_platform.actions import restore
from backup_platform.domain.model import (
    Capture,
    Content,
    Entry,
    RecoveryPoint,
    Stat,
    Stats,
    StreamRef,
    Window,
)
from backup_platform.domain.ports import Buffer, Chunking
from backup_platform.sources import files
from backup_platform.sources.files.source import FileTreeSource
from backup_platform_tests.sources.memory_reader import MemoryReader

PRIVILEGED = os.geteuid() == 0
NOBODY = 65534
YEAR_2400 = 13_569_465_600_000_000_001  # beyond 64 bits of nanoseconds
LARGE = (1 << 20) + 4321  # just too large to be read whole


@dataclass(frozen=True)
class AheadClock:
    """The real time, moved, so that files just written count as settled."""

    ahead: timedelta = timedelta(minutes=2)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def monotonic(self) -> float:
        return time.monotonic()


@dataclass
class CountingProgress:
    expected: list[int] = field(default_factory=lambda: [0, 0])
    done: list[int] = field(default_factory=lambda: [0, 0])

    def begin(self, doing: str, unit: str = "file") -> None: ...

    def expect(self, *, items: int = 0, size: int = 0) -> None:
        self.expected = [self.expected[0] + items, self.expected[1] + size]

    def advance(self, *, items: int = 0, size: int = 0) -> None:
        self.done = [self.done[0] + items, self.done[1] + size]

    def note(self, text: str) -> None:
        raise AssertionError(text)


def nothing(*_: object) -> None:
    """The hook of a recorder that does not interfere."""


@dataclass
class MemoryRecorder(MemoryReader):
    """`ports.Recorder` and `ports.PointReader` in memory.

    `on_reuse`, `on_blob` and `on_block` are called at these moments, so that a test can change the tree then.
    `previous` are the rows that are offered for reuse.
    """

    previous: dict[bytes, Entry] = field(default_factory=dict)
    on_reuse: Callable[[Sequence[Stat]], None] = nothing
    on_blob: Callable[[Buffer], None] = nothing
    on_block: Callable[[int], None] = nothing
    rows: list[Entry] = field(default_factory=list)
    blobs: dict[bytes, bytes] = field(default_factory=dict)
    batches: list[int] = field(default_factory=list)
    blocks: int = 0
    stored: int = 0

    @property
    def held(self) -> tuple[Sequence[Entry], Mapping[bytes, bytes]]:
        return self.rows, self.blobs

    def reuse(self, stats: Sequence[Stat]) -> Sequence[bool]:
        self.on_reuse(stats)
        return [stat.path in self.previous and unchanged(self.previous[stat.path], stat) for stat in stats]

    def record(self, batch: Sequence[Entry | Stat]) -> None:
        self.batches.append(len(batch))
        self.rows += [row if isinstance(row, Entry) else self.previous[row.path] for row in batch]

    def blob(self, data: Buffer) -> bytes:
        assert 0 < len(data) <= 4 << 20
        self.on_blob(data)
        self.stored += 1
        identity = hashlib.sha256(data).digest()
        self.blobs[identity] = bytes(data)
        return identity

    def stream(self, blocks: Iterable[Buffer], chunking: Chunking | None = None) -> StreamRef:
        ids, size = b"", 0
        for block in blocks:
            self.blocks += 1
            self.on_block(self.blocks)
            ids += self.blob(block)
            size += len(block)
        return StreamRef(size, Content(ids))

    def bytes_of(self, path: bytes) -> bytes:
        return b"".join(map(bytes, self.read(self.row(path).content)))

    def row(self, path: bytes) -> Entry:
        return next(row for row in self.rows if row.stat.path == path)

    @property
    def paths(self) -> list[bytes]:
        return [row.stat.path for row in self.rows]


def unchanged(entry: Entry, stat: Stat) -> bool:
    before, same = entry.stat, entry.status == "ok" and entry.hardlink is None
    return same and all(
        getattr(before, name) == getattr(stat, name)
        for name in ("kind", "size", "mtime_ns", "ctime_ns", "inode")
    )


def capture(
    root: Path,
    recorder: MemoryRecorder | None = None,
    *,
    exclude: tuple[str, ...] = (),
    one_file_system: bool = False,
    exclude_caches: bool = False,
    follow_symlinks: bool = False,
) -> tuple[Capture, MemoryRecorder]:
    recorder = recorder or MemoryRecorder()
    source = FileTreeSource(
        name="tree",
        root=os.fspath(root),
        clock=AheadClock(),
        exclude=exclude,
        one_file_system=one_file_system,
        exclude_caches=exclude_caches,
        follow_symlinks=follow_symlinks,
    )
    progress = CountingProgress()
    captured = source.capture(recorder, progress)
    assert progress.expected[0] == progress.done[0]
    return captured, recorder


def point_of(captured: Capture) -> RecoveryPoint:
    """A recovery point as far as a drill looks at it."""
    now = captured.captured_at
    return RecoveryPoint(
        id="0" * 64,
        sequence=1,
        predecessor="",
        source="tree",
        kind="files",
        window=Window("w", now, now + timedelta(days=1)),
        timezone="UTC",
        captured_at=now,
        committed_at=now,
        lateness_s=0,
        incomplete=captured.incomplete,
        problem_count=len(captured.problems),
        problems=captured.problems,
        facts=captured.facts,
        stats=Stats(),
        inventory=StreamRef(0, Content()),
        versions={},
    )


def noise(size: int, seed: int) -> bytes:
    """Bytes that do not repeat, the same for the same seed."""
    return hashlib.shake_128(seed.to_bytes(8, "big")).digest(size)


def posix_acl(*entries: tuple[int, int, int]) -> bytes:
    """The value of a POSIX ACL attribute from (tag, permissions, id)."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


ACCESS = posix_acl(
    (1, 6, 0xFFFFFFFF), (2, 4, 1234), (4, 4, 0xFFFFFFFF), (16, 6, 0xFFFFFFFF), (32, 0, 0xFFFFFFFF)
)
DEFAULT = posix_acl(
    (1, 7, 0xFFFFFFFF), (2, 5, 4321), (4, 5, 0xFFFFFFFF), (16, 5, 0xFFFFFFFF), (32, 1, 0xFFFFFFFF)
)


def odd_tree(root: Path) -> None:
    """Something of everything that a file system can hold."""
    root.mkdir()
    (root / "empty").write_bytes(b"")
    (root / "small").write_bytes(b"small\n")
    (root / "exactly").write_bytes(noise(1 << 20, 1))
    (root / "large").write_bytes(noise(3 * LARGE, 2))
    (root / "zeros").write_bytes(bytes(70_000))
    for name in ("dir", "dir.d", "dir/deep", "dir/deep/er", "hollow", "read-only", "sticky"):
        (root / name).mkdir()
    for number in range(300):
        (root / "dir" / f"{number:03}").write_bytes(noise(number * 7, number))
    (root / "dir-before-slash").write_text("sorts before dir/")
    odd_names(root)
    odd_links(root)
    odd_sparse(root)
    odd_specials(root)
    odd_metadata(root)
    long_path(root, 18)  # almost as long as rsync can compare


def odd_names(root: Path) -> None:
    raw = os.fsencode(root)
    for name in (
        b"\xff\xfe",
        b"new\nline",
        b"-rf *",
        b"\x01\x1b[31m",
        "ünïcode 𝄞".encode(),
        b"n" * 255,
        b".hidden",
    ):
        with open(os.path.join(raw, b"dir", name), "wb") as file:
            file.write(name)


def odd_links(root: Path) -> None:
    (root / "link").symlink_to("dir/deep")
    (root / "dangling").symlink_to("nowhere/\udcff")
    (root / "absolute").symlink_to("/etc/passwd")
    (root / "long-link").symlink_to("x" * 4000)
    (root / "a-hard").write_bytes(noise(5000, 77))
    os.link(root / "a-hard", root / "dir" / "b-hard")
    os.link(root / "a-hard", root / "z-hard")
    (root / "big-hard").write_bytes(noise(LARGE, 78))
    os.link(root / "big-hard", root / "dir/deep/er/big-hard")
    os.link(root / "link", root / "second-name-of-link", follow_symlinks=False)


def odd_sparse(root: Path) -> None:
    for name, size, parts in (
        ("sparse", 300_000, [(100_000, 5000), (250_000, 50_000)]),
        ("sparse-large", 64 << 20, [(0, 10), (5 << 20, LARGE), ((64 << 20) - 1, 1)]),
        ("sparse-tail", 200_000, [(0, 4096)]),
        ("all-hole", 1 << 30, []),
    ):
        with open(root / name, "wb") as file:
            file.truncate(size)
            for offset, length in parts:
                file.seek(offset)
                file.write(noise(length, offset))


def odd_specials(root: Path) -> None:
    os.mkfifo(root / "fifo", 0o640)
    path = root / "socket"
    with socket.socket(socket.AF_UNIX) as listening:
        directory = os.open(root, os.O_RDONLY)
        try:
            listening.bind(f"/proc/self/fd/{directory}/{path.name}")
        finally:
            os.close(directory)
    if PRIVILEGED:
        os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.mknod(root / "loop", stat.S_IFBLK | 0o600, os.makedev(7, 200))


def odd_metadata(root: Path) -> None:
    os.setxattr(root / "small", "user.note", b"\x00\xffbinary")
    os.setxattr(root / "small", "user.empty", b"")
    os.setxattr(root / "small", "system.posix_acl_access", ACCESS)
    os.setxattr(root / "dir.d", "system.posix_acl_default", DEFAULT)
    os.setxattr(root / "large", "user.big", noise(2000, 3))
    if PRIVILEGED:
        os.setxattr(root / "small", "trusted.secret", b"t")
        os.chown(root / "exactly", 1234, 4321)
        os.setxattr(root / "exactly", "security.capability", struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0))
        os.chown(root / "link", 1111, 2222, follow_symlinks=False)
        os.chown(root / "fifo", 3333, 4444)
        os.chown(root / "hollow", 1234, 4321)
    os.chmod(root / "zeros", 0o6755)
    os.chmod(root / "sticky", 0o1777)
    (root / "read-only" / "inside").write_text("kept")
    os.chmod(root / "read-only" / "inside", 0o400)
    os.chmod(root / "read-only", 0o500)
    os.utime(root / "empty", ns=(1, 1))
    os.utime(root / "small", ns=(-5_000_000_001, -5_000_000_001))
    os.utime(root / "dangling", ns=(7, 1_234_567_890_123_456_789), follow_symlinks=False)
    os.utime(root / "hollow", ns=(3, 4_000_000_000_999_999_999))
    for name in ("dir-before-slash", "absolute", "dir/deep/er", "fifo"):
        os.utime(root / name, ns=(YEAR_2400, YEAR_2400), follow_symlinks=False)


def long_path(root: Path, levels: int) -> bytes:
    """A file, a link and a second name at the end of directories with names of 203 bytes; the file's path."""
    fd = os.open(root, os.O_RDONLY)
    names = [b"%03d" % level + b"x" * 200 for level in range(levels)]
    for name in names:
        os.mkdir(name, dir_fd=fd)
        inner = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    file = os.open(b"file", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=fd)
    os.write(file, b"deep down")
    os.setxattr(file, b"user.deep", b"yes")
    os.close(file)
    os.symlink(b"file", b"link", dir_fd=fd)
    os.link(b"file", b"other", src_dir_fd=fd, dst_dir_fd=fd)
    os.close(fd)
    return b"/".join((*names, b"file"))


def assert_same_tree(expected: Path, found: Path) -> None:
    """By rsync: contents, kinds, modes, owners, times, links, ACLs, extended attributes, devices."""
    arguments = ["-aHAX", "--checksum", "--dry-run", "--itemize-changes", "--delete"]
    compared = subprocess.run(
        ["rsync", *arguments, f"{expected}/", f"{found}/"], capture_output=True, check=True
    )
    assert compared.stdout == b""
    assert compared.stderr == b""


def remove_tree(root: Path) -> None:
    """Also what is too deep for other tools."""
    subprocess.run(["chmod", "-R", "u+rwx", root], check=True)
    shutil.rmtree(root)


@cache
def load_modules() -> None:
    """All that a backup, a restore or a drill of files imports late: a checkout in /root is closed to others."""
    for package in (filesystem, repository, restore, files):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.rpartition(".")[2].startswith("rescue"):
                importlib.import_module(found.name)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's privileges, in the whole process."""
    if not PRIVILEGED:
        yield
        return
    load_modules()
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
