"""Comparing a restored tree with the inventory, row by row and byte by byte."""

from __future__ import annotations

import os
import stat as modes
import struct
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from backup_platform.domain.model import Entry, EntryKind, Json, RecoveryPoint, Stat, Status
from backup_platform.domain.ports import DrillReport, PointReader, Progress
from backup_platform.domain.words import more
from backup_platform.filesystem.holes import holes_are_zero
from backup_platform.filesystem.paths import below, order, printable, proc_path
from backup_platform.sources.files.attributes import Xattrs, read_xattrs
from backup_platform.sources.files.read import Files, Pieces, pieces_of
from backup_platform.sources.files.tally import Links
from backup_platform.sources.files.walk import Fault, Walk

LISTED = 100
ACL = b"system.posix_acl_access"
ACL_OWNER = 1  # the tag of the entry
NEED_ROOT = (b"security.", b"trusted.")
DEVICES = (EntryKind.CHAR_DEVICE, EntryKind.BLOCK_DEVICE)
STORED = (Status.OK, Status.CHANGED)
KIND_FACTS = {EntryKind.FILE: "files", EntryKind.DIRECTORY: "directories", EntryKind.SYMLINK: "symlinks"}


@dataclass(slots=True)
class Differences:
    """Counted, and listed up to a limit."""

    count: int = 0
    listed: list[str] = field(default_factory=list)

    def add(self, path: bytes, text: str) -> None:
        self.note(f"{printable(path)}: {text}")

    def note(self, text: str) -> None:
        self.count += 1
        if len(self.listed) < LISTED:
            self.listed.append(text)

    def lines(self) -> tuple[str, ...]:
        left = self.count - len(self.listed)
        return (*self.listed, more(left, "differences")) if left else tuple(self.listed)


def as_before(acl: bytes, found: Stat) -> bytes:
    """An ACL as it was before the owner was let in: what it says of the owner is always what the mode says."""
    entries = [list(entry) for entry in struct.iter_unpack("<HHI", acl[4:])]
    for entry in entries:
        if entry[0] == ACL_OWNER:
            entry[1] = found.mode >> 6 & 7
    return acl[:4] + b"".join(struct.pack("<HHI", *entry) for entry in entries)


class TreeDrill:
    """One comparison. Memory does not grow with the tree, except for files with several names."""

    def __init__(self, walk: Walk, reader: PointReader, progress: Progress) -> None:
        self._walk, self._reader = walk, reader
        self._files = Files(walk.root_fd)
        self._progress = progress
        self._privileged = os.geteuid() == 0
        self._links = Links()
        self._found = Differences()
        self._counts: Counter[str] = Counter()
        self._compared: Counter[str] = Counter()

    def run(self, point: RecoveryPoint) -> DrillReport:
        """Raises DamageError when stored content cannot be read."""
        self._progress.begin("comparing")
        self._progress.expect(items=point.stats.files, size=point.stats.source_bytes)
        self._compare_rows()
        self._compare_facts(point)
        compared: dict[str, Json] = {**self._compared, "differences": self._found.count}
        return DrillReport(compared, self._found.lines())

    def _compare_rows(self) -> None:
        """Both sides come in the same order."""
        rows = self._rows()
        row = next(rows, None)
        for entry in self._reader.entries():
            self._count(entry)
            if entry.stat.kind is EntryKind.FILE:
                self._progress.advance(items=1)
            if not self._expected(entry):
                continue
            place = order(entry.stat.path)
            while row is not None and order(row[0].path) < place:
                self._found.add(row[0].path, "is not in the recovery point")
                row = next(rows, None)
            if row is None or row[0].path != entry.stat.path:
                self._missing(entry)
                continue
            self._compare(entry, *row)
            row = next(rows, None)
        while row is not None:
            self._found.add(row[0].path, "is not in the recovery point")
            row = next(rows, None)

    def _rows(self) -> Iterator[tuple[Stat, Fault | None]]:
        for batch in self._walk.batches():
            for position, stat in enumerate(batch.stats):
                yield stat, batch.faults.get(position)

    def _expected(self, entry: Entry) -> bool:
        if entry.status in STORED or entry.stat.kind is EntryKind.DIRECTORY:
            return True
        self._compared["not stored"] += 1
        return False

    def _missing(self, entry: Entry) -> None:
        if entry.stat.kind in DEVICES and not self._privileged:
            self._compared["devices that only root can restore"] += 1
        else:
            self._found.add(entry.stat.path, "was not restored")

    def _count(self, entry: Entry) -> None:
        """The inventory's side of the facts."""
        stat, counts = entry.stat, self._counts
        counts[KIND_FACTS.get(stat.kind, "other")] += 1
        counts["problems"] += entry.status is not Status.OK
        counts["hardlinks"] += entry.hardlink is not None
        if stat.kind is EntryKind.FILE and entry.hardlink is None:
            counts["bytes"] += stat.size

    def _compare_facts(self, point: RecoveryPoint) -> None:
        for name in ("files", "directories", "symlinks", "other", "bytes", "hardlinks", "problems"):
            if name in point.facts:
                self._compared["facts"] += 1
                if point.facts[name] != self._counts[name]:
                    said, holds = point.facts[name], self._counts[name]
                    self._found.note(f"{name}: the inventory holds {holds}, the source said {said}")

    def _compare(self, entry: Entry, found: Stat, fault: Fault | None) -> None:
        self._compared["entries"] += 1
        if fault:
            self._found.add(found.path, f"cannot be read: {fault.problem}")
        elif self._equal(found.path, "kind", str(entry.stat.kind), str(found.kind)):
            try:
                self._compare_same_kind(entry, found)
            except OSError as error:
                self._found.add(found.path, f"cannot be read: {error.strerror}")

    def _compare_same_kind(self, entry: Entry, found: Stat) -> None:
        if found.kind is not EntryKind.DIRECTORY and not self._first_name(entry, found):
            return
        self._compare_stat(entry.stat, found)
        self._unlock(found)
        path = found.path
        stored, restored = self._settable(entry.xattrs), self._settable(self._xattrs(found))
        self._equal(path, "extended attributes", stored, restored)
        if found.kind is EntryKind.SYMLINK:
            target = below(self._walk.root_fd, path, lambda fd, name: os.readlink(name, dir_fd=fd))
            self._equal(path, "link target", entry.link_target, target)
        if found.kind in DEVICES:
            self._equal(path, "device number", entry.stat.rdev, found.rdev)
        if found.kind is EntryKind.FILE and found.size == entry.stat.size:
            self._compare_content(entry, found)

    def _first_name(self, entry: Entry, found: Stat) -> bool:
        """Compare which names belong together; whether what they name is still to be compared."""
        holder = self._links.holder(found) if found.nlink > 1 else None
        self._equal(found.path, "hard link", entry.hardlink, holder)
        if holder is None and found.nlink > 1:
            self._links.hold(found)
        return holder is None and entry.hardlink is None

    def _compare_stat(self, stat: Stat, found: Stat) -> None:
        path = found.path
        if not self._privileged and stat.mode == found.mode | modes.S_ISGID and stat.gid != found.gid:
            self._compared["modes that only root can restore"] += 1
        elif found.kind is not EntryKind.SYMLINK:
            self._equal(path, "mode", f"{stat.mode:04o}", f"{found.mode:04o}")
        if self._privileged:
            self._equal(path, "owner", (stat.uid, stat.gid), (found.uid, found.gid))
        if found.kind is EntryKind.FILE:
            self._equal(path, "size", stat.size, found.size)
        if found.mtime_ns != stat.mtime_ns and found.mtime_ns == self._kept(stat.mtime_ns):
            self._compared["times that this file system cannot keep"] += 1
        else:
            self._equal(path, "time of modification", stat.mtime_ns, found.mtime_ns)

    def _kept(self, mtime_ns: int) -> int:
        """What the file system of the restored tree makes of a time: some only have those of a few centuries."""
        with tempfile.TemporaryFile(dir=os.path.dirname(os.path.abspath(self._walk.root))) as file:
            os.utime(file.fileno(), ns=(mtime_ns, mtime_ns))
            return os.fstat(file.fileno()).st_mtime_ns

    def _unlock(self, found: Stat) -> None:
        """Let the owner read a file whose mode does not; the row has the mode from before."""
        if not self._privileged and found.kind is EntryKind.FILE and not found.mode & modes.S_IRUSR:
            mode = found.mode | modes.S_IRUSR
            below(self._walk.root_fd, found.path, lambda fd, name: os.chmod(name, mode, dir_fd=fd))

    def _xattrs(self, found: Stat) -> Xattrs:
        xattrs = below(self._walk.root_fd, found.path, lambda fd, name: read_xattrs(proc_path(fd, name)))
        return (
            xattrs
            if self._privileged
            else tuple(x if x[0] != ACL else (ACL, as_before(x[1], found)) for x in xattrs)
        )

    def _settable(self, xattrs: Xattrs) -> Xattrs:
        return xattrs if self._privileged else tuple(x for x in xattrs if not x[0].startswith(NEED_ROOT))

    def _compare_content(self, entry: Entry, found: Stat) -> None:
        fd, st = self._files.open(found)
        try:
            if entry.extents is not None and not holes_are_zero(fd, st.st_size, entry.extents):
                self._found.add(found.path, "has data where the recovery point has a hole")
            count = self._equal_bytes(fd, entry)
        finally:
            os.close(fd)
        self._compared["files"] += 1
        self._compared["bytes"] += count

    def _equal_bytes(self, fd: int, entry: Entry) -> int:
        """Bytes that were compared, up to the first difference."""
        pieces, count = Pieces(fd, pieces_of(entry.stat.size, entry.extents)), 0
        for stored in self._reader.read(entry.content):
            expected = bytes(stored)
            if pieces.read(len(expected)) != expected:
                self._found.add(entry.stat.path, f"content differs after {count} bytes")
                return count
            count += len(expected)
            self._progress.advance(size=len(expected))
        if pieces.read(1):
            self._found.add(entry.stat.path, f"has more content than the {count} bytes that are stored")
        return count

    def _equal(self, path: bytes, what: str, stored: object, restored: object) -> bool:
        if stored == restored:
            return True
        self._found.add(path, f"{what} is {restored!r} instead of {stored!r}")
        return False
