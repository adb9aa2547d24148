"""The values that all other modules use. Standard library only, immutable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

BLOB_ID_BYTES = 32


@dataclass(frozen=True, slots=True)
class Window:
    """One interval `[start, end)` of a source's schedule; `key` is the Dagster partition key."""

    key: str
    start: datetime
    end: datetime

    def contains(self, instant: datetime) -> bool:
        return self.start <= instant < self.end


@dataclass(frozen=True, slots=True)
class Content:
    """Where the bytes of a stream are: the ids of its blobs, concatenated (32 bytes each).

    At `depth` 0 the blobs are the content. At depth n they hold the concatenated ids of depth n - 1, so that a
    stream of any size is named by a short list.
    """

    blobs: bytes = b""
    depth: int = 0

    def ids(self) -> list[bytes]:
        blobs = self.blobs
        return [blobs[i : i + BLOB_ID_BYTES] for i in range(0, len(blobs), BLOB_ID_BYTES)]


EMPTY = Content()


@dataclass(frozen=True, slots=True)
class StreamRef:
    """A named sequence of bytes in a recovery point."""

    size: int
    content: Content


class EntryKind(StrEnum):
    FILE = "file"
    DIRECTORY = "dir"
    SYMLINK = "symlink"
    FIFO = "fifo"
    CHAR_DEVICE = "chardev"
    BLOCK_DEVICE = "blockdev"
    SOCKET = "socket"


class Status(StrEnum):
    """How an entry was captured. Only OK and CHANGED have their content stored."""

    OK = "ok"
    CHANGED = (
        "changed"  # it changed while it was read, twice: what was read is stored, and may mix two states
    )
    VANISHED = "vanished"
    UNREADABLE = "unreadable"


class Stat(NamedTuple):
    """What one lstat says of a path, in the order that a sorted walk finds it.

    `path` is relative to the source's root, b"." for the root itself. Times in ns since the epoch.
    """

    path: bytes
    kind: EntryKind
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int
    nlink: int
    rdev: int


class Entry(NamedTuple):
    """One row of an inventory: a path with all that is needed to restore it.

    `extents` are the data ranges (offset, length) of a sparse file, whose stored content is these ranges joined;
    None for a file that is stored whole. `hardlink` names the path that holds the content.
    """

    stat: Stat
    status: Status = Status.OK
    problem: str = ""
    user: str = ""
    group: str = ""
    link_target: bytes | None = None
    hardlink: bytes | None = None
    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    extents: tuple[tuple[int, int], ...] | None = None
    content: Content = EMPTY


@dataclass(frozen=True, slots=True)
class Problem:
    """An entry of the source that the recovery point lacks, or may hold in a mixed state."""

    path: str
    status: Status
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Capture:
    """What a source returns after its last entry. `facts` were read inside the snapshot, from the source itself.
    `captured_at` is the instant that the data shows. `incomplete` means that something vanished or could not be read.
    """

    captured_at: datetime
    facts: Mapping[str, Json]
    problems: tuple[Problem, ...] = ()
    incomplete: bool = False
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stats:
    """Sizes in bytes, times in seconds. Names are those of the UI's plots and never change."""

    files: int = 0
    source_bytes: int = 0
    new_bytes: int = 0  # plain bytes of contents that the repository did not have
    stored_bytes: int = 0  # what the store received for them and for the inventory
    duration_s: float = 0.0

    @property
    def throughput_mb_s(self) -> float:
        """Bytes of the source per second of the whole backup, in MB/s; 0 when nothing was timed."""
        return self.source_bytes / 1e6 / self.duration_s if self.duration_s > 0 else 0.0

    @property
    def dedup_ratio(self) -> float:
        """The share of the source's bytes that the repository held already, 0 to 1."""
        return 1 - self.new_bytes / self.source_bytes if self.source_bytes else 0.0


class OnTrust(NamedTuple):
    """A pack to which a point refers although its writer could not check it: its id, the hash of what the index
    says about it, and the plain bytes that the point needs of it."""

    pack: str
    table: str
    size: int


@dataclass(frozen=True, slots=True)
class Unvouched:
    """What a point took on trust when it was committed: plain bytes, and the packs that hold most of them."""

    size: int = 0
    packs: tuple[OnTrust, ...] = ()


@dataclass(frozen=True, slots=True)
class RecoveryPoint:
    """The immutable result of backing up one source for one window."""

    id: str  # hex digest of the manifest
    sequence: int  # position in the chain of its source, from 1
    predecessor: str  # id of the point before, "" for the first
    source: str
    kind: str
    window: Window
    timezone: str
    captured_at: datetime
    committed_at: datetime
    lateness_s: float
    incomplete: bool
    problem_count: int
    problems: tuple[Problem, ...]  # the first hundred
    facts: Mapping[str, Json]
    stats: Stats
    inventory: StreamRef
    versions: Mapping[str, str]
    unvouched: Unvouched | None = None  # None: its writer did not count
    suspect: tuple[str, ...] = ()  # why it may not show what the source should hold; judged at its commit
    accepted: str = field(default="", compare=False)  # why a person took it as it is, from the ledger
    stored_at: datetime | None = field(default=None, compare=False, repr=False)  # by the store's clock

    @property
    def is_suspect(self) -> bool:
        """Whether it looks emptied or shrunk, and nobody has accepted it."""
        return bool(self.suspect) and not self.accepted


class ProofMethod(StrEnum):
    VERIFY = "verify"
    DRILL = "drill"


@dataclass(frozen=True, slots=True)
class Proof:
    """The recorded verdict of a verify or a drill of one recovery point."""

    point: str
    method: ProofMethod
    passed: bool
    at: datetime
    duration_s: float
    detail: Mapping[str, Json] = field(default_factory=dict)
