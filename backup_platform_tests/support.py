"""What tests of the repository share: a clock to set, a source to script, a store to break."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, overload

from backup_platform.actions.backup.run import BackupJob, BackupResult
from backup_platform.domain.model import (
    EMPTY,
    Capture,
    Content,
    Entry,
    EntryKind,
    Json,
    Problem,
    RecoveryPoint,
    Stat,
    Status,
    StreamRef,
)
from backup_platform.domain.ports import (
    Buffer,
    Clock,
    DrillReport,
    PointReader,
    Progress,
    Recorder,
    Sandbox,
    Store,
)
from backup_platform.domain.time_limit import TimeLimit
from backup_platform.domain.windows.schedule import CADENCES, WindowSchedule
from backup_platform.repository.creating import init_repository
from backup_platform.repository.encryption import bech32
from backup_platform.repository.encryption.key_files import Keys, Secret
from backup_platform.repository.objects.canonical import canonical
from backup_platform.repository.objects.names import (
    INDEXES,
    META,
    PACKS,
    TOMBSTONES,
    IndexKey,
    ObjectId,
    PackKey,
    digest,
)
from backup_platform.repository.packs.known import Known
from backup_platform.repository.repository import Repository
from backup_platform.stores.object_store import DirectoryStore
from backup_platform_tests.faults.store import Call as Call
from backup_platform_tests.faults.store import Do as Do
from backup_platform_tests.faults.store import Killed as Killed
from backup_platform_tests.faults.store import ScriptedStore as ScriptedStore
from backup_platform_tests.faults.store import flipped as flipped

# Keys for tests only: these of all bytes are on record.
REPOSITORY_KEY = bytes(range(32))
IDENTITIES = tuple(bech32.encode("age-secret-key-", bytes([n]) * 32).upper() for n in (1, 2, 3))


def writer_keys() -> Keys:
    """What a host that only writes has."""
    return Keys(key=Secret("the test's key", bech32.encode("backup-platform-key-", REPOSITORY_KEY)))


def reader_keys(number: int = 0) -> Keys:
    """What a host that restores has: the n-th identity, and no repository key."""
    return Keys(identity=Secret("the test's identity", IDENTITIES[number]))


def all_keys(number: int = 0) -> Keys:
    return Keys(writer_keys().key, reader_keys(number).identity)


def recipient(number: int = 0) -> str:
    """The public key of the n-th identity."""
    from backup_platform.repository.encryption.age import Identity

    return Identity(IDENTITIES[number]).recipient


def make_repository(store: Store, clock: Clock, *, encrypted: bool) -> None:
    if encrypted:
        init_repository(store, clock, key=REPOSITORY_KEY, recipients=[recipient(0)])
    else:
        init_repository(store, clock)


START = datetime(2026, 11, 22, 2, 15, tzinfo=UTC)
SMALL = 64 << 10  # as in real sources: what is shorter is one blob


@dataclass(frozen=True)
class Restored:
    """`ports.Sandbox` over a directory that something was restored into already."""

    path: str
    limit: TimeLimit = field(default_factory=TimeLimit)

    def unpack(self) -> str:
        return self.path


@dataclass
class ManualClock:
    """`ports.Clock` that stands still until it is told."""

    instant: datetime = START

    def now(self) -> datetime:
        return self.instant

    def monotonic(self) -> float:
        return (self.instant - START).total_seconds()

    def advance(self, **units: float) -> None:
        self.instant += timedelta(**units)

    @property
    def ns(self) -> int:
        return round(self.instant.timestamp()) * 1_000_000_000


class QuietProgress:
    """`ports.Progress` that adds up what it is told."""

    def __init__(self) -> None:
        self.expected = 0
        self.done = 0

    def begin(self, doing: str, unit: str = "file") -> None: ...

    def expect(self, *, items: int = 0, size: int = 0) -> None:
        self.expected += size

    def advance(self, *, items: int = 0, size: int = 0) -> None:
        self.done += size

    def note(self, text: str) -> None:
        """Nobody reads it."""


@dataclass
class ScriptedSource:
    """`ports.Source` whose content is a dict of path to bytes; `write` and `remove` change it.

    `blocks` is how large files are handed over, `batch` how many rows are recorded at once, `broken` the paths that
    cannot be read. `read` counts the files whose content was asked for.
    """

    clock: ManualClock
    name: str = "docs"
    kind: str = "files"
    files: dict[bytes, bytes] = field(default_factory=dict)
    modified: dict[bytes, int] = field(default_factory=dict)
    broken: set[bytes] = field(default_factory=set)
    blocks: int = 100_000
    batch: int = 7
    during: Callable[[], None] = lambda: None
    read: int = 0

    def write(self, path: bytes, data: bytes) -> None:
        self.files[path] = data
        self.modified[path] = self.clock.ns

    def remove(self, path: bytes) -> None:
        del self.files[path], self.modified[path]

    def probe(self) -> str:
        return "scripted"

    def capture(self, recorder: Recorder, progress: Progress) -> Capture:
        captured_at = self.clock.now()
        rows = self.rows()
        for first in range(0, len(rows), self.batch):
            batch = rows[first : first + self.batch]
            same = recorder.reuse(batch)
            recorder.record(
                [s if same_ else self._entry(s, recorder) for s, same_ in zip(batch, same, strict=True)]
            )
        self.during()
        problems = tuple(Problem(path.decode(), Status.UNREADABLE, "broken") for path in sorted(self.broken))
        facts: dict[str, Json] = {"files": len(self.files), "bytes": sum(map(len, self.files.values()))}
        return Capture(captured_at, facts, problems, incomplete=bool(problems), versions={"scripted": "1"})

    def rows(self) -> list[Stat]:
        """The rows of a walk, in its order."""
        folders = {b"."}
        for path in self.files:
            parts = path.split(b"/")
            folders |= {b"/".join(parts[:n]) for n in range(1, len(parts))}
        stats = [_stat(path, EntryKind.DIRECTORY, 0, 0) for path in folders]
        stats += [_stat(p, EntryKind.FILE, len(d), self.modified[p]) for p, d in self.files.items()]
        return sorted(stats, key=lambda stat: walk_order(stat.path))

    def _entry(self, stat: Stat, recorder: Recorder) -> Entry:
        if stat.kind is not EntryKind.FILE:
            return Entry(stat)
        self.read += 1
        if stat.path in self.broken:
            return Entry(stat, Status.UNREADABLE, "broken")
        return Entry(stat, content=self._store(self.files[stat.path], recorder))

    def _store(self, data: bytes, recorder: Recorder) -> Content:
        if not data:
            return EMPTY
        if len(data) <= SMALL:
            return Content(recorder.blob(data))
        return recorder.stream(data[i : i + self.blocks] for i in range(0, len(data), self.blocks)).content

    def drill(
        self, point: RecoveryPoint, reader: PointReader, sandbox: Sandbox, progress: Progress
    ) -> DrillReport:
        raise NotImplementedError


def walk_order(path: bytes) -> bytes:
    return b"" if path == b"." else path.replace(b"/", b"\0")


def _stat(path: bytes, kind: EntryKind, size: int, modified: int) -> Stat:
    inode = int.from_bytes(path[-7:], "big") + len(path)
    mode = 0o755 if kind is EntryKind.DIRECTORY else 0o644
    return Stat(path, kind, mode, 0, 0, size, modified, modified, inode, 1, 1, 0)


class ClockedStore(DirectoryStore):
    """A directory whose own clock is the test's: `modified` is when the test's clock says that it was written."""

    def __init__(self, path: str, clock: ManualClock) -> None:
        super().__init__(path)
        self.clock = clock

    def create(self, key: str, data: Buffer) -> None:
        super().create(key, data)
        self._date(key)

    def replace(self, key: str, data: Buffer) -> None:
        super().replace(key, data)
        self._date(key)

    def _date(self, key: str) -> None:
        instant = self.clock.now().timestamp()
        os.utime(f"{self.location}/{key}", (instant, instant))


@dataclass
class Bench:
    """A repository in a directory with one scripted source; every `backup` opens it anew, as a process would.

    `held` are the keys of this host, all of them where the repository is encrypted; `known` is what it remembers.
    """

    root: Path
    clock: ManualClock = field(default_factory=ManualClock)
    encrypted: bool = False

    def __post_init__(self) -> None:
        self.held = all_keys() if self.encrypted else Keys()
        self.known = Known()
        self.source = ScriptedSource(self.clock)
        self.store = DirectoryStore(str(self.root))
        self.schedule = WindowSchedule(CADENCES["hour"], since=START)
        if not (self.root / "repository.json").exists():
            make_repository(self.store, self.clock, encrypted=self.encrypted)

    def open(self, store: Store | None = None) -> Repository:
        return Repository(store or self.store, self.clock, keys=self.held, known=self.known)

    def job(self, store: Store | None = None) -> BackupJob:
        return BackupJob(self.source, self.schedule, self.open(store), self.clock)

    def backup(self, store: Store | None = None, *, force: bool = True) -> RecoveryPoint:
        """A recovery point of the current content. The clock moves two minutes first, so that what was written
        before counts as settled."""
        return self.run(store, force=force).point

    def run(self, store: Store | None = None, *, force: bool = True) -> BackupResult:
        self.clock.advance(minutes=2)
        return self.job(store).run(None, force=force, progress=QuietProgress())

    @overload
    def keys(self, prefix: Literal["packs/", "meta/"]) -> set[PackKey]: ...
    @overload
    def keys(self, prefix: Literal["indexes/"]) -> set[IndexKey]: ...
    @overload
    def keys(self, prefix: str = "") -> set[str]: ...
    def keys(self, prefix: str = "") -> set[PackKey] | set[IndexKey] | set[str]:
        """Keys of the objects in the directory."""
        files = (p.relative_to(self.root).as_posix() for p in self.root.rglob("*") if p.is_file())
        found = {key for key in files if key.startswith(prefix)}
        if prefix in (PACKS, META):
            return {PackKey(key) for key in found}
        return {IndexKey(key) for key in found} if prefix == INDEXES else found

    def damage(self, key: str, position: int | None = None) -> None:
        """Flip a bit of a stored object behind the store's back."""
        path = self.root / key
        path.write_bytes(flipped(path.read_bytes(), position))

    def content(self, point: RecoveryPoint) -> dict[bytes, bytes]:
        """What a restore of a point would give."""
        return content_of(self.open(), point)


def content_of(repository: Repository, point: RecoveryPoint) -> dict[bytes, bytes]:
    reader = repository.reader(point)
    files = [entry for entry in reader.entries() if entry.stat.kind is EntryKind.FILE]
    return {e.stat.path: b"".join(reader.read(e.content)) for e in files if e.status is Status.OK}


def stream_bytes(repository: Repository, point: RecoveryPoint, stream: StreamRef) -> bytes:
    return b"".join(repository.reader(point).read(stream.content))


def tombstone(bench: Bench, packs: Iterable[str], *, final: bool = False) -> None:
    """Condemn packs, as prune does; doom them when `final`."""
    data = canonical({"packs": list[Json](sorted(packs))})
    bench.store.create(f"{TOMBSTONES}{ObjectId.of(digest(data))}{'.final' if final else ''}", data)


def noise(size: int, seed: int) -> bytes:
    """Incompressible bytes, the same for the same seed."""
    from blake3 import blake3

    return blake3(seed.to_bytes(8, "little")).digest(size)


def text(size: int, seed: int) -> bytes:
    """Compressible bytes, the same for the same seed."""
    words = [noise(6, seed * 1000 + n).hex().encode() for n in range(50)]
    order: Sequence[int] = noise(size // 12 + 1, seed)
    return b" ".join(words[n % 50] for n in order)[:size]


def do_harm(path: Path, harm: str) -> None:
    """To a stored object, behind the store's back: flip, truncate or remove."""
    if harm == "remove":
        path.unlink()
        return
    data = path.read_bytes()
    path.write_bytes(flipped(data, len(data) // 3) if harm == "flip" else data[: len(data) * 2 // 3])


def joined(blocks: Iterable[Buffer]) -> bytes:
    return b"".join(blocks)


def small_bench(folder: Path) -> Bench:
    """A repository and a source of two files, one of them of several chunks."""
    made = Bench(folder / "repository")
    made.source.write(b"docs/small", text(2_000, 1))
    made.source.write(b"large", noise(900_000, 3))
    return made
