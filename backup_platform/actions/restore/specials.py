"""Creating entries without content: symbolic links, FIFOs, devices, sockets, and further names of files."""

from __future__ import annotations

import os
import stat as modes

from backup_platform.actions.restore.files import clear, replace_by, temporary
from backup_platform.actions.restore.metadata import Metadata, Named
from backup_platform.actions.restore.target import TargetDirectory
from backup_platform.domain.model import Entry, EntryKind

FORMATS = {
    EntryKind.FIFO: modes.S_IFIFO,
    EntryKind.CHAR_DEVICE: modes.S_IFCHR,
    EntryKind.BLOCK_DEVICE: modes.S_IFBLK,
    EntryKind.SOCKET: modes.S_IFSOCK,
}


def make_special(target: TargetDirectory, metadata: Metadata, entry: Entry, *, replace: bool) -> bool:
    """Whether it was made; a device needs a privilege, and without it is a warning."""
    with target.place(entry.stat.path) as (dir_fd, name):
        made = temporary(name) if replace else name
        if replace:
            clear(dir_fd, made)
        try:
            create(dir_fd, made, entry)
        except PermissionError as error:
            if entry.stat.kind not in (EntryKind.CHAR_DEVICE, EntryKind.BLOCK_DEVICE):
                raise
            metadata.warnings.add(entry.stat.path, f"the device could not be made: {error.strerror}")
            return False
        metadata.apply(Named(dir_fd, made), entry)
        if replace:
            replace_by(made, name, dir_fd)
    return True


def create(dir_fd: int, name: bytes, entry: Entry) -> None:
    stat = entry.stat
    if stat.kind is EntryKind.SYMLINK:
        os.symlink(entry.link_target or b"", name, dir_fd=dir_fd)
    else:
        os.mknod(name, FORMATS[stat.kind] | 0o600, stat.rdev, dir_fd=dir_fd)


def make_link(target: TargetDirectory, holder: bytes, path: bytes, *, replace: bool) -> None:
    """Another name for the file at `holder`."""
    with target.place(holder) as (holder_fd, holder_name), target.place(path) as (dir_fd, name):
        made = temporary(name) if replace else name
        if replace:
            clear(dir_fd, made)
        os.link(holder_name, made, src_dir_fd=holder_fd, dst_dir_fd=dir_fd, follow_symlinks=False)
        if replace:
            replace_by(made, name, dir_fd)
