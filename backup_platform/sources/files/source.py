"""A directory tree as a source."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field

from backup_platform.domain.model import Capture, RecoveryPoint
from backup_platform.domain.ports import Clock, DrillReport, PointReader, Progress, Recorder, Sandbox
from backup_platform.errors import SourceError, SourceFormatError, SourceMissingError
from backup_platform.filesystem.identity import identities
from backup_platform.filesystem.paths import DIRECTORY_FLAGS
from backup_platform.sources.places import readable, refuse_inside


@dataclass(frozen=True, slots=True)
class FileTreeSource:
    """Everything below the directory `root`, as it is found: nothing is locked, files may change meanwhile.

    `exclude` are gitignore patterns relative to the root. `one_file_system` records mount points without what
    is mounted. `exclude_caches` leaves out the contents of directories with a CACHEDIR.TAG. `follow_symlinks`
    records in a link's place what it leads to, if that is inside the root; other links stay links. `repositories` are
    directories that are left out wherever they are found: a repository would back itself up, and grow each time.
    """

    name: str
    root: str
    clock: Clock = field(repr=False)
    exclude: tuple[str, ...] = ()
    one_file_system: bool = False
    exclude_caches: bool = False
    follow_symlinks: bool = False
    repositories: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        return "files"

    def probe(self) -> str:
        """Raises SourceMissingError, SourceError."""
        return readable(self.root)

    def capture(self, recorder: Recorder, progress: Progress) -> Capture:
        """Raises SourceMissingError, SourceFormatError if the root is not a directory, and SourceError."""
        from backup_platform.sources.files.capture import TreeCapture
        from backup_platform.sources.files.excludes import Excludes
        from backup_platform.sources.files.walk import Walk

        captured_at, left_out = self.clock.now(), identities(self.repositories)
        refuse_inside(self.root, left_out)
        root_fd = open_root(self.root)
        try:
            walk = Walk(
                root_fd,
                os.fsencode(self.root),
                excludes=Excludes(self.exclude) if self.exclude else None,
                one_file_system=self.one_file_system,
                exclude_caches=self.exclude_caches,
                follow_symlinks=self.follow_symlinks,
                left_out=left_out,
            )
            with TreeCapture(walk, recorder, progress) as tree:
                tree.run()
        finally:
            os.close(root_fd)
        return Capture(
            captured_at=captured_at,
            facts={"root": self.root, **tree.tally.facts(), "excluded": walk.excluded},
            problems=tuple(tree.tally.problems),
            incomplete=tree.tally.incomplete,
        )

    def drill(
        self, point: RecoveryPoint, reader: PointReader, sandbox: Sandbox, progress: Progress
    ) -> DrillReport:
        """Compare the restored tree with the inventory, row by row and byte by byte."""
        from backup_platform.sources.files.drill import TreeDrill
        from backup_platform.sources.files.walk import Walk

        restored = sandbox.unpack()
        root_fd = open_restored(restored)
        try:
            walk = Walk(root_fd, os.fsencode(restored), unlock=os.geteuid() != 0)
            return TreeDrill(walk, reader, progress).run(point)
        finally:
            os.close(root_fd)


def open_restored(root: str) -> int:
    """Like `open_root`, for a tree that belongs to this user, whose mode may deny access even to its owner."""
    mode = stat.S_IMODE(os.stat(root).st_mode)
    if mode & 0o500 == 0o500 or os.geteuid() == 0:
        return open_root(root)
    os.chmod(root, mode | 0o500)
    fd = open_root(root)
    os.fchmod(fd, mode)
    return fd


def open_root(root: str) -> int:
    """A descriptor of the root directory, which may be named through a symbolic link."""
    try:
        return os.open(root, DIRECTORY_FLAGS)
    except FileNotFoundError as error:
        raise SourceMissingError(
            f"The directory {root} does not exist.",
            subject=root,
            hint="Is its file system mounted? Check the path in the plan.",
        ) from error
    except NotADirectoryError as error:
        raise SourceFormatError(
            f"{root} is not a directory.",
            subject=root,
            hint="A files source protects a directory: name the one it is in.",
        ) from error
    except OSError as error:
        raise SourceError(
            f"The directory {root} cannot be opened: {error.strerror}.",
            subject=root,
            hint="Check its permissions.",
        ) from error
