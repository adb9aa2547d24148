"""Byte paths below an open directory, of any length."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from backup_platform.domain.visible import visible

T = TypeVar("T")

ROOT = b"."
LONG = 3500  # bytes; the kernel refuses paths of 4096, and /proc/self/fd/N/ may come before it
DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
STEP_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


def printable(path: bytes) -> str:
    """The path for people: bytes that are not UTF-8 and what does not print are escaped."""
    return visible(path.decode("utf-8", "backslashreplace"))


def order(path: bytes) -> bytes:
    """The key that sorts paths in the order of the walk."""
    return b"" if path == ROOT else path.replace(b"/", b"\0")


def split(path: bytes) -> tuple[bytes, bytes]:
    """Directory (empty when it is the root) and name."""
    directory, _, name = path.rpartition(b"/")
    return directory, name


def below(root_fd: int, path: bytes, act: Callable[[int, bytes], T], *, follow: bool = False) -> T:
    """Calls `act(directory fd, path relative to it)`. If the path is long, its directories are opened one after the
    other."""
    if len(path) <= LONG:
        return act(root_fd, path)
    directory, name = split(path)
    fd = descend(root_fd, directory, follow=follow)
    try:
        return act(fd, name)
    finally:
        os.close(fd)


def descend(root_fd: int, directory: bytes, *, follow: bool = False) -> int:
    """An O_PATH descriptor of a directory, reached name by name; through symbolic links only if asked."""
    flags = STEP_FLAGS | (0 if follow else os.O_NOFOLLOW)
    fd = os.open(ROOT, STEP_FLAGS, dir_fd=root_fd)
    for name in directory.split(b"/") if directory else ():
        try:
            inner = os.open(name, flags, dir_fd=fd)
        finally:
            os.close(fd)
        fd = inner
    return fd


def proc_path(dir_fd: int, name: bytes) -> bytes:
    """A path for calls that take no directory descriptor."""
    return b"/proc/self/fd/%d/%b" % (dir_fd, name)
