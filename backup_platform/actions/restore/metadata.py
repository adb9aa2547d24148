"""Owner, attributes, mode and times of restored entries."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from backup_platform.actions.restore.warnings import Warnings
from backup_platform.domain.model import Entry, EntryKind, Stat
from backup_platform.errors import TargetError
from backup_platform.filesystem.paths import printable, proc_path

ACL_DEFAULT = b"system.posix_acl_default"
ACLS = (b"system.posix_acl_access", ACL_DEFAULT)


@dataclass(frozen=True, slots=True)
class Fresh:
    """What a new file has before anything is applied. `plain` when nothing else is inherited."""

    uid: int
    gid: int
    umask: int
    plain: bool


def probe(root_fd: int) -> Fresh:
    """Made by creating a file, because groups, modes and ACLs can be inherited from directories and mounts."""
    try:
        fd = _nameless(root_fd)
    except PermissionError:  # below it may be directories where files can be made
        return Fresh(os.geteuid(), os.getegid(), 0o777, plain=False)
    try:
        st = os.fstat(fd)
        plain = not acls(fd) and ACL_DEFAULT not in acls(root_fd)
    finally:
        os.close(fd)
    return Fresh(st.st_uid, st.st_gid, 0o777 & ~st.st_mode, plain)


def _nameless(root_fd: int) -> int:
    try:
        return os.open(b".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o777, dir_fd=root_fd)
    except OSError:
        name = b".backup-platform-" + secrets.token_hex(8).encode()
        fd = os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o777, dir_fd=root_fd)
        os.unlink(name, dir_fd=root_fd)
        return fd


def acls(target: int | bytes) -> list[bytes]:
    try:
        names = os.listxattr(target, follow_symlinks=isinstance(target, int))
    except OSError:
        return []
    return [acl for acl in ACLS if os.fsdecode(acl) in names]


class Handle(Protocol):
    """What metadata is applied to."""

    def stat(self) -> os.stat_result: ...
    def chown(self, uid: int, gid: int) -> None: ...
    def chmod(self, mode: int) -> None: ...
    def utime(self, ns: int) -> None: ...
    def acls(self) -> list[bytes]: ...
    def setxattr(self, name: bytes, value: bytes) -> None: ...
    def removexattr(self, name: bytes) -> None: ...


@dataclass(frozen=True, slots=True)
class Opened:
    """An open file or directory."""

    fd: int

    def stat(self) -> os.stat_result:
        return os.fstat(self.fd)

    def chown(self, uid: int, gid: int) -> None:
        os.fchown(self.fd, uid, gid)

    def chmod(self, mode: int) -> None:
        os.fchmod(self.fd, mode)

    def utime(self, ns: int) -> None:
        os.utime(self.fd, ns=(ns, ns))

    def acls(self) -> list[bytes]:
        return acls(self.fd)

    def setxattr(self, name: bytes, value: bytes) -> None:
        os.setxattr(self.fd, name, value)

    def removexattr(self, name: bytes) -> None:
        os.removexattr(self.fd, name)


@dataclass(frozen=True, slots=True)
class Named:
    """Something that cannot or need not be opened, by its name in a directory. Links are not followed."""

    dir_fd: int
    name: bytes

    @property
    def path(self) -> bytes:
        return proc_path(self.dir_fd, self.name)

    def stat(self) -> os.stat_result:
        return os.stat(self.name, dir_fd=self.dir_fd, follow_symlinks=False)

    def chown(self, uid: int, gid: int) -> None:
        os.chown(self.name, uid, gid, dir_fd=self.dir_fd, follow_symlinks=False)

    def chmod(self, mode: int) -> None:
        # Only through a descriptor is it certain that no link is followed.
        fd = os.open(self.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.dir_fd)
        try:
            os.chmod(b"/proc/self/fd/%d" % fd, mode)
        finally:
            os.close(fd)

    def utime(self, ns: int) -> None:
        os.utime(self.name, ns=(ns, ns), dir_fd=self.dir_fd, follow_symlinks=False)

    def acls(self) -> list[bytes]:
        return acls(self.path)

    def setxattr(self, name: bytes, value: bytes) -> None:
        os.setxattr(self.path, name, value, follow_symlinks=False)

    def removexattr(self, name: bytes) -> None:
        os.removexattr(self.path, name, follow_symlinks=False)


@dataclass(frozen=True, slots=True)
class Metadata:
    """Applies an entry's metadata. What cannot be applied is a warning."""

    fresh: Fresh
    privileged: bool
    warnings: Warnings

    def complete_new(self, fd: int, entry: Entry) -> None:
        """A new file, opened with the entry's permission bits. Raises TargetError when its size is wrong."""
        stat, fresh = entry.stat, self.fresh
        usual = fresh.plain and stat.uid == fresh.uid and stat.gid == fresh.gid and not entry.xattrs
        if usual and not stat.mode & (0o7000 | fresh.umask):
            os.utime(fd, ns=(stat.mtime_ns, stat.mtime_ns))
            self._check(os.fstat(fd), stat)
        else:
            self.apply(Opened(fd), entry)

    def apply(self, handle: Handle, entry: Entry) -> None:
        """Apply all metadata. chown clears setuid and capabilities, and an ACL sets the mode: the order depends on
        this."""
        stat = entry.stat
        applied = self._own(handle, stat)
        if entry.xattrs and not self.privileged and stat.kind in (EntryKind.FILE, EntryKind.DIRECTORY):
            self._try(stat, "mode", partial(handle.chmod, 0o700))  # who may not write sets no attributes
        for name, value in sorted(entry.xattrs, key=lambda each: each[0] in ACLS):
            applied &= self._try(stat, f"attribute {printable(name)}", partial(handle.setxattr, name, value))
        if not self.fresh.plain:
            applied &= self._remove_inherited(handle, entry)
        if stat.kind is not EntryKind.SYMLINK:
            applied &= self._try(stat, "mode", partial(handle.chmod, stat.mode))
        if self._try(stat, "times", partial(handle.utime, stat.mtime_ns)) and applied:
            self._check(handle.stat(), stat)

    def _check(self, st: os.stat_result, stat: Stat) -> None:
        """Some file systems accept a mode or a time and keep another."""
        if stat.kind is EntryKind.FILE and st.st_size != stat.size:
            raise TargetError(
                f"{printable(stat.path)} has {st.st_size} bytes after it was written, not {stat.size}.",
                subject=printable(stat.path),
            )
        if st.st_mtime_ns != stat.mtime_ns:
            self.warnings.add(stat.path, "the file system did not keep its exact time of modification")
        if st.st_mode & 0o7777 != stat.mode and stat.kind is not EntryKind.SYMLINK:
            self.warnings.add(stat.path, f"its mode is {st.st_mode & 0o7777:04o} instead of {stat.mode:04o}")

    def _own(self, handle: Handle, stat: Stat) -> bool:
        if self.privileged:
            return self._try(stat, "owner", partial(handle.chown, stat.uid, stat.gid))
        if stat.uid != self.fresh.uid:
            self.warnings.add(stat.path, f"its owner {stat.uid} could not be set: only root may do that")
        return stat.gid == self.fresh.gid or self._try(stat, "group", partial(handle.chown, -1, stat.gid))

    def _remove_inherited(self, handle: Handle, entry: Entry) -> bool:
        recorded = {name for name, _ in entry.xattrs}
        excess = [acl for acl in handle.acls() if acl not in recorded]
        return all(self._try(entry.stat, "inherited ACL", partial(handle.removexattr, acl)) for acl in excess)

    def _try(self, stat: Stat, what: str, apply: Callable[[], None]) -> bool:
        try:
            apply()
        except OSError as error:
            self.warnings.add(stat.path, f"its {what} could not be set: {error.strerror}")
            return False
        return True
