"""Files whose content the kernel makes when they are read, such as those of procfs and sysfs.

Their reported size is 0, a page, or the whole address space. Some have no end. Some have no data until an event
happens.
"""

from __future__ import annotations

import ctypes
import errno
import os
from functools import cache

BOUND = 16 << 20  # bytes; more than any that is of use in a backup, such as /proc/kallsyms
_BLOCK = 64 << 10  # a multiple of the units in which some of them must be read
_STATFS_SIZE = 512  # bytes; more than any struct statfs has

# statfs(2), linux/magic.h
_NAMES = {
    0x9FA0: "procfs",
    0x62656572: "sysfs",
    0x64626720: "debugfs",
    0x74726163: "tracefs",
    0x73636673: "securityfs",
    0x62656570: "configfs",
    0x0027E0EB: "cgroup",
    0x63677270: "cgroup2",
    0x07655821: "resctrl",
    0xCAFE4A11: "bpf",
    0xF97CFF8C: "selinuxfs",
    0x43415D53: "smackfs",
    0x42494E4D: "binfmt_misc",
    0x65735543: "fusectl",
    0x6E736673: "nsfs",
    0xABBA1974: "xenfs",
}


class EndlessError(OSError):
    """A file of the kernel holds more than anybody stores."""

    def __init__(self, name: str) -> None:
        text = f"it is a file of the kernel ({name}) with more than {BOUND >> 20} MiB, and may have no end"
        super().__init__(errno.EFBIG, text)


def kernel_file_system(fd: int) -> str | None:
    """The name of the kernel's own file system that holds the open file; None when an ordinary one does."""
    status = ctypes.create_string_buffer(_STATFS_SIZE)
    if _libc().fstatfs(fd, status):
        return None
    return _NAMES.get(ctypes.c_ulong.from_buffer(status).value & 0xFFFFFFFF)


def read_kernel_file(fd: int, name: str) -> bytes:
    """All that the file holds. Raises EndlessError; BlockingIOError where reading on would wait."""
    parts, count = [], 0
    while part := os.pread(fd, _BLOCK, count):
        parts.append(part)
        count += len(part)
        if count > BOUND:
            raise EndlessError(name)
    return b"".join(parts)


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)
