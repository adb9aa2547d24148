"""What the core needs from outside, as small Protocols. Adapters implement them, and each Protocol has one contract
suite."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import BinaryIO, Protocol, runtime_checkable

from backup_platform.domain.model import Capture, Content, Entry, Json, RecoveryPoint, Stat, StreamRef
from backup_platform.domain.restoring import DatabaseRestorePlan, DatabaseRestoreSummary, DatabaseTarget
from backup_platform.domain.time_limit import TimeLimit

Buffer = bytes | bytearray | memoryview


class Clock(Protocol):
    """The only source of time."""

    def now(self) -> datetime:
        """The current instant, time-zone aware."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start, for durations."""
        ...


class Progress(Protocol):
    """Receives progress during work, and never blocks it. Amounts are added to earlier ones; `size` is in bytes."""

    def begin(self, doing: str, unit: str = "file") -> None:
        """A part of the work begins, with amounts of its own: what it does (`comparing`, "" where there is one part
        only), and what one of its items is called, with an s where there are several."""
        ...

    def expect(self, *, items: int = 0, size: int = 0) -> None: ...

    def advance(self, *, items: int = 0, size: int = 0) -> None: ...

    def note(self, text: str) -> None: ...


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object in a store. `modified` is the store's clock."""

    key: str
    size: int
    modified: datetime


class Store(Protocol):
    """Named immutable objects. Keys are ASCII words joined by `/`. Every method may raise `StoreError`."""

    @property
    def location(self) -> str:
        """Where it is, for people; never holds a secret."""
        ...

    def create(self, key: str, data: Buffer) -> None:
        """Write a new object durably, atomically. Raises `ConflictError` when the key exists."""
        ...

    def replace(self, key: str, data: Buffer) -> None:
        """Write an object whether or not the key exists. Only repair of a content-addressed object may use it."""
        ...

    def get(self, key: str) -> Buffer:
        """The whole object. Raises `NotFoundError`."""
        ...

    def get_range(self, key: str, start: int, length: int) -> Buffer:
        """A part of an object; exactly `length` bytes or `DamageError`. Raises `NotFoundError`."""
        ...

    def get_tail(self, key: str, length: int) -> Buffer:
        """The last bytes of an object, all of it when it is shorter. Raises `NotFoundError`."""
        ...

    def head(self, key: str) -> StoredObject:
        """Raises `NotFoundError`."""
        ...

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Every object below a prefix that ends in `/`, in no promised order."""
        ...

    def delete(self, key: str) -> None:
        """Succeeds when the key is absent already."""
        ...


class ObjectLock(Protocol):
    """A store that can retain objects until an instant. Written objects are retained for `lock` from now."""

    lock: timedelta

    def retain(self, keys: Collection[str], until: datetime) -> None:
        """Prolong retentions, all to the same instant; one that is longer stays. Raises `StoreError`."""
        ...


class Drafts(Protocol):
    """Files that a writer to a directory leaves if it is killed. They are not objects, and no listing has them."""

    def drafts(self) -> Iterator[StoredObject]: ...

    def delete_draft(self, key: str) -> None:
        """Delete a draft. Succeeds if it does not exist any more. Raises ValueError for an object that is not a
        draft."""
        ...


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a store can do besides the verbs of `Store`. What it cannot do is None, or has no effect.

    Inside `direct`, every read comes from the store and none from a copy on this machine. Inside `lending`, a write
    that finds the disk full gets the space that was reserved for work that frees space. `keep_room` reserves it.
    """

    object_lock: ObjectLock | None = None
    drafts: Drafts | None = None
    direct: Callable[[], AbstractContextManager[None]] = nullcontext
    lending: Callable[[], AbstractContextManager[None]] = nullcontext
    keep_room: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class OpenedStore:
    store: Store
    capabilities: Capabilities = field(default_factory=Capabilities)


@dataclass(frozen=True, slots=True)
class Wrapped:
    """Bytes to store, and a function that returns the plain bytes of what was read back. The function raises
    `DamageError`."""

    stored: Buffer
    opened: Callable[[Buffer], Part]


class Part(Protocol):
    """The plain bytes of a stored object. Only the requested parts are read."""

    @property
    def plain(self) -> int:
        """How many plain bytes there are. Raises `DamageError`."""
        ...

    def read(self, start: int, length: int, read: Callable[[int, int], Buffer]) -> Buffer:
        """Plain bytes; `read(start, length)` gives those of the object. Raises `DamageError`."""
        ...


class Cipher(Protocol):
    """Encrypts and decrypts names and bytes of a repository. In an unencrypted repository it changes nothing. Methods
    that read contents raise `KeyMissingError` if the key is missing. Thread-safe."""

    @property
    def name(self) -> str:
        """As `repository.json` has it."""
        ...

    @property
    def chunking_seed(self) -> int: ...

    @property
    def secret(self) -> bytes:
        """A value that only holders of the repository key know. Empty in an unencrypted repository."""
        ...

    @property
    def reads_contents(self) -> bool:
        """Whether a key for contents is available. It may still not open every pack."""
        ...

    def require_contents(self) -> None:
        """Raises `KeyMissingError` if no key for contents is available. The error says which key is needed, and where
        it is kept."""
        ...

    def hash(self, data: Buffer) -> bytes:
        """32 bytes: the name of a blob, the signature of a document."""
        ...

    def prepare_writing(self) -> None:
        """Read to whom contents are encrypted from now on. Raises `KeyMissingError` if there is no recipient."""
        ...

    def wrap(self, key: str, plain: Buffer) -> Wrapped:
        """The stored form of an object. `key` may be only a prefix, because packs are named by their stored form. A
        bytearray must not be used afterwards: the stored form may use its memory."""
        ...

    def unwrap(self, key: str, stored: Buffer) -> Buffer:
        """The plain bytes of a whole object."""
        ...

    def part(self, key: str, size: Callable[[], int], read: Callable[[int, int], Buffer]) -> Part | None:
        """For reading parts of a pack; None when its stored form is its plain form."""
        ...

    def fits(self, key: str, plain: int, stored: int) -> bool:
        """Whether a pack with so many plain bytes can have so many stored bytes."""
        ...


class Chunking(Protocol):
    """How a stream is cut into blobs."""

    def cut(self, blocks: Iterable[Buffer]) -> Iterator[Buffer]: ...


class Recorder(Protocol):
    """What a source writes its capture to; memory stays bounded whatever is written.

    `blob` and `stream` may be called from several threads at once, `reuse` and `record` from one.
    """

    def reuse(self, stats: Sequence[Stat]) -> Sequence[bool]:
        """Per stat: does the previous recovery point hold this path unchanged, with all its blobs present?

        Unchanged means: same path, kind, size, mtime, ctime and inode, captured as OK, and not modified so shortly
        before the previous capture that the file system's clock could not tell.
        """
        ...

    def record(self, batch: Sequence[Entry | Stat]) -> None:
        """Append rows to the inventory, in the order of the walk. A bare `Stat` stands for the row of the previous
        recovery point. It is only allowed for a path for which the immediately preceding `reuse` call returned True."""
        ...

    def blob(self, data: Buffer) -> bytes:
        """Store one blob, at most 4 MiB; its id (32 bytes)."""
        ...

    def stream(self, blocks: Iterable[Buffer], chunking: Chunking | None = None) -> StreamRef:
        """Store a stream of any size, content-defined chunks unless another chunking is given."""
        ...


class Source(Protocol):
    """One thing to protect. Constructed from its part of the plan; construction touches nothing."""

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> str: ...

    def probe(self) -> str:
        """Look for what a capture needs, without reading the source. Returns a text for people. Raises
        `SourceError`."""
        ...

    def capture(self, recorder: Recorder, progress: Progress) -> Capture:
        """Read consistently into the recorder. Raises `SourceError`; lets `RepositoryError` pass through."""
        ...

    def drill(
        self, point: RecoveryPoint, reader: PointReader, sandbox: Sandbox, progress: Progress
    ) -> DrillReport:
        """Restore into the sandbox, and compare with the recovery point's facts and inventory. A difference is a
        finding. A reason why the drill cannot be made is an error."""
        ...


@runtime_checkable
class DatabaseSource(Source, Protocol):
    """A source whose recovery points are restored into a server."""

    def plan_restore(
        self, point: RecoveryPoint, reader: PointReader, target: DatabaseTarget
    ) -> DatabaseRestorePlan:
        """What a restore will do; writes nothing. Raises `TargetError`, `NotFoundError`."""
        ...

    def run_restore(
        self, plan: DatabaseRestorePlan, reader: PointReader, progress: Progress
    ) -> DatabaseRestoreSummary:
        """Carry out a plan. Raises `TargetError` before anything is written if the plan has conflicts; an error
        after that says what was done and how to go on."""
        ...


class Sandbox(Protocol):
    """Where a drill restores. Everything in it is removed afterwards."""

    @property
    def path(self) -> str:
        """A private, empty directory."""
        ...

    @property
    def limit(self) -> TimeLimit:
        """The time limit of the drill. Code that runs code of others must end by itself when it is reached."""
        ...

    def unpack(self) -> str:
        """Restore the inventory of the recovery point below `path`, and read each file back. Returns the directory."""
        ...


class PointReader(Protocol):
    """Reads one recovery point."""

    def entries(self) -> Iterator[Entry]:
        """The inventory's rows in order."""
        ...

    def read(self, content: Content) -> Iterator[Buffer]:
        """The plain bytes of a stream, blob by blob, each checked against its id. Raises `DamageError`."""
        ...

    def open(self, content: Content) -> BinaryIO:
        """A stream as a seekable file. Only the requested parts are read. Not thread-safe."""
        ...

    def blob_ids(self, content: Content) -> Iterator[bytes]:
        """The ids of a stream's depth 0 blobs."""
        ...


@dataclass(frozen=True, slots=True)
class DrillReport:
    """What a drill compared and found. It passed when `differences` is empty."""

    compared: dict[str, Json]  # what was compared, with counts
    differences: tuple[str, ...]


class AlertChannel(Protocol):
    """Sends messages to people. `name` tells it from the plan's other channels, and holds no secret."""

    @property
    def name(self) -> str: ...

    def send(self, title: str, body: str, *, over: bool = False) -> None:
        """Send a message. `over` means that everything in it has ended, and nobody has to act. Raises `BackupError`
        if the channel did not take it."""
        ...
