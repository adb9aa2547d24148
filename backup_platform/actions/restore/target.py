"""The directory that is restored into. No path in it is followed through a symbolic link."""

from __future__ import annotations

import errno
import os
import stat as modes
from collections import OrderedDict
from types import TracebackType

from backup_platform.errors import DamageError, TargetError
from backup_platform.filesystem.paths import ROOT, STEP_FLAGS, printable

KEPT_OPEN = 64  # directories of each thread


class Directories:
    """Opened directories below the target, the last used ones kept. For one thread at a time."""

    def __init__(self, root_fd: int) -> None:
        self._root_fd = root_fd
        self._open: OrderedDict[bytes, int] = OrderedDict()

    def get(self, directory: bytes) -> int:
        """An O_PATH descriptor, valid until the next call. Raises OSError where no directory is."""
        if not directory:
            return self._root_fd
        fd = self._open.get(directory)
        if fd is None:
            return self._descend(directory)
        self._open.move_to_end(directory)
        return fd

    def _descend(self, directory: bytes) -> int:
        names, start = directory.split(b"/"), 0
        fd = self._root_fd
        for depth in range(len(names) - 1, 0, -1):
            known = self._open.get(b"/".join(names[:depth]))
            if known is not None:
                fd, start = known, depth
                break
        for depth in range(start, len(names)):
            fd = os.open(names[depth], STEP_FLAGS | os.O_NOFOLLOW, dir_fd=fd)
            self._keep(b"/".join(names[: depth + 1]), fd)
        return fd

    def _keep(self, directory: bytes, fd: int) -> None:
        self._open[directory] = fd
        if len(self._open) > KEPT_OPEN:
            os.close(self._open.popitem(last=False)[1])

    def forget(self) -> None:
        while self._open:
            os.close(self._open.popitem()[1])


class TargetPath:
    """Where a path is, while it is used. Errors of the file system meanwhile become TargetError.

    Written out, because a generator's context manager would cost as much as a system call, for each file.
    """

    __slots__ = ("_directories", "_idle", "_path")

    def __init__(self, idle: list[Directories], root_fd: int, path: bytes) -> None:
        # Appending to and popping from a list are atomic.
        try:
            self._directories = idle.pop()
        except IndexError:
            self._directories = Directories(root_fd)
        self._idle, self._path = idle, path

    def __enter__(self) -> tuple[int, bytes]:
        directory, _, name = self._path.rpartition(b"/")
        try:
            return self._directories.get(directory), name
        except OSError as error:
            self._idle.append(self._directories)
            raise refused(self._path, error) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._idle.append(self._directories)
        if isinstance(error, OSError):
            raise refused(self._path, error) from error


class TargetDirectory:
    """An open target directory. Safe to use from several threads."""

    def __init__(self, to: str) -> None:
        self.to = to
        self.fd = os.open(to, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._idle: list[Directories] = []

    def close(self) -> None:
        while self._idle:
            self._idle.pop().forget()
        os.close(self.fd)

    def place(self, path: bytes) -> TargetPath:
        """For `with`: the descriptor of the path's directory, and the name in it."""
        return TargetPath(self._idle, self.fd, path)

    def lstat(self, path: bytes) -> os.stat_result | None:
        """None when there is nothing, also when a parent is no directory."""
        if path == ROOT:
            return os.fstat(self.fd)
        try:
            with self.place(path) as (fd, name):
                return os.stat(name, dir_fd=fd, follow_symlinks=False)
        except TargetError as error:
            if error.number in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return None
            raise


# What says something of one file or directory, and nothing of the rest of the target.
OF_ONE_ENTRY = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ETXTBSY,
        errno.EBUSY,
        errno.ENAMETOOLONG,
        errno.EINVAL,
        errno.EILSEQ,
        errno.EFBIG,
        errno.EMLINK,
        errno.EOPNOTSUPP,
    }
)


def reason_of_one(error: TargetError) -> str | None:
    """Why one entry cannot be restored; None when it is not about this entry alone, as a full disk."""
    return error.said or os.strerror(error.number) if error.number in OF_ONE_ENTRY else None


def can_open(st: os.stat_result) -> bool:
    """Is it a directory of this user's own, whose mode keeps this user out?"""
    own = st.st_uid == os.geteuid() != 0
    return own and modes.S_ISDIR(st.st_mode) and st.st_mode & 0o700 != 0o700


def refused(path: bytes, error: OSError) -> TargetError:
    name, number = printable(path), error.errno or 0
    full = number in (errno.ENOSPC, errno.EDQUOT)
    hint = "Free some space and restore again." if full else ""
    text = f"{name} cannot be written: {error.strerror}."
    if number == errno.EEXIST:
        text = f"{name} was created in the target meanwhile, and is not replaced."
    elif number in (errno.ENOTDIR, errno.ELOOP):
        text = f"{name} cannot be written: something on its path in the target is not a directory."
    return TargetError(text, hint=hint, subject=name, said=error.strerror or "", number=number, full=full)


def check_path(path: bytes) -> None:
    """Raises DamageError for a path that would lead out of the target."""
    parts = b"/" + path + b"/"
    if b"//" in parts or b"/../" in parts or b"\0" in path or (b"/./" in parts and path != ROOT):
        raise DamageError(
            f"The inventory holds the path {printable(path)!r}, which leads outside.", subject=printable(path)
        )
