"""Kinds of file system entries, as the kernel reports them."""

from __future__ import annotations

import stat as modes

from backup_platform.domain.model import EntryKind

KINDS = {
    modes.S_IFREG: EntryKind.FILE,
    modes.S_IFDIR: EntryKind.DIRECTORY,
    modes.S_IFLNK: EntryKind.SYMLINK,
    modes.S_IFIFO: EntryKind.FIFO,
    modes.S_IFCHR: EntryKind.CHAR_DEVICE,
    modes.S_IFBLK: EntryKind.BLOCK_DEVICE,
    modes.S_IFSOCK: EntryKind.SOCKET,
}
