"""What exists in the target already, and what that means for each entry."""

from __future__ import annotations

import os
import stat as modes
from dataclasses import dataclass
from enum import Enum

from backup_platform.actions.restore.target import TargetDirectory, can_open
from backup_platform.domain.model import Entry, EntryKind
from backup_platform.filesystem.kinds import KINDS


class Treatment(Enum):
    NEW = "new"
    KEPT = "kept"  # it seems to be there already, and files are still to be compared
    REPLACED = "replaced"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class TargetSurvey:
    """`resumes` means that an earlier run of the same restore may have made the existing entries."""

    target: TargetDirectory
    resumes: bool
    overwrite: bool

    @property
    def may_change(self) -> bool:
        """Whether the restore may set the metadata of directories that exist already."""
        return self.resumes or self.overwrite

    def standing(self, entry: Entry) -> Treatment:
        st = self.target.lstat(entry.stat.path)
        if st is None:
            return Treatment.NEW
        kind = KINDS[modes.S_IFMT(st.st_mode)]
        if entry.stat.kind is EntryKind.DIRECTORY and kind is EntryKind.DIRECTORY:
            return Treatment.KEPT
        if kind is EntryKind.DIRECTORY:
            return Treatment.CONFLICT  # a whole tree is never replaced by one file
        if self.may_change and kind is entry.stat.kind and self._similar(entry, st):
            return Treatment.KEPT
        return Treatment.REPLACED if self.overwrite else Treatment.CONFLICT

    def admits(self, path: bytes, *, owned: bool) -> bool:
        """Whether names in the directory of this path can be created and replaced, as far as this can be known. `owned`
        means that the directory is to be restored, too."""
        with self.target.place(path) as (fd, _):
            if os.access(b".", os.W_OK | os.X_OK, dir_fd=fd, effective_ids=True):
                return True
            return self.may_change and owned and can_open(os.fstat(fd))

    def _similar(self, entry: Entry, st: os.stat_result) -> bool:
        stat = entry.stat
        if entry.hardlink is not None:
            holder = self.target.lstat(entry.hardlink)
            return holder is not None and (holder.st_dev, holder.st_ino) == (st.st_dev, st.st_ino)
        if stat.kind is EntryKind.FILE:
            return (st.st_size, st.st_mtime_ns) == (stat.size, stat.mtime_ns)
        if stat.kind is EntryKind.SYMLINK:
            with self.target.place(stat.path) as (fd, name):
                return os.readlink(name, dir_fd=fd) == entry.link_target
        return st.st_rdev == stat.rdev
