"""What the file system's errors mean for an entry of a recovery point."""

from __future__ import annotations

import errno
import os

from backup_platform.domain.model import Status

GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ESTALE, errno.ELOOP, errno.ENXIO})
WAIT_TEXT = "reading it would block until it has data, for example a message of the kernel"


class ReplacedError(OSError):
    """The path now names something of another kind than the walk saw."""

    def __init__(self) -> None:
        super().__init__(errno.ENOENT, "replaced by something of another kind")


def status_of(error: OSError) -> tuple[Status, str]:
    """ELOOP and ENXIO mean that a link, a FIFO or a socket replaced the file that the walk saw."""
    status = Status.VANISHED if error.errno in GONE else Status.UNREADABLE
    if error.errno == errno.EAGAIN:
        return status, WAIT_TEXT
    text = error.strerror or os.strerror(error.errno or errno.EIO)
    return status, text
