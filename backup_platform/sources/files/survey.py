"""What a directory holds that no source protects: directories, and files beside them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from backup_platform.domain.coverage import Neighbour, Surroundings
from backup_platform.domain.model import Json
from backup_platform.domain.words import first_of, how_many
from backup_platform.errors import SourceError, SourceFormatError, SourceMissingError
from backup_platform.kinds.kind import LookContext, PlannedSource
from backup_platform.sources.files.excludes import Excludes
from backup_platform.sources.files.kind import FilesConfig

LOOSE = "(files)"
_NAMED = 3


def survey(root: str, context: LookContext) -> Surroundings:
    """The directories in `root`. In one that holds a source, or a repository of the plan, those beside that.

    A symbolic link counts as what it leads to. Raises SourceMissingError, SourceFormatError, SourceError.
    """
    trees = [_Tree.of(source) for source in context.sources if source.path]
    repositories = tuple(map(os.path.realpath, context.repositories()))
    look = _Look(root, trees, repositories)
    return Surroundings(root, list(look.below(os.path.realpath(root), "")))


@dataclass(frozen=True)
class _Tree:
    """What a source of this host protects."""

    source: PlannedSource
    root: str
    excludes: Excludes | None = None

    @classmethod
    def of(cls, source: PlannedSource) -> _Tree:
        config, root = source.config, os.path.realpath(source.path)
        patterns = config.exclude if isinstance(config, FilesConfig) else ()
        return cls(source, root, Excludes(patterns) if patterns else None)

    def why_not(self, path: str) -> str | None:
        """Why it does not protect what is at a path below it, or "" if it does; None of what is elsewhere."""
        if not _is_in(path, self.root):
            return None
        config, name = self.source.config, self.source.name
        if not isinstance(config, FilesConfig) or path == self.root:
            return ""
        if self.excludes and _excluded(self.excludes, os.path.relpath(path, self.root), os.path.isdir(path)):
            return f"excluded by `exclude` of the source {name}"
        if config.one_file_system and _file_system(path) != _file_system(self.root):
            return f"on another file system than the source {name}, which has one_file_system"
        return ""


def _excluded(excludes: Excludes, path: str, directory: bool) -> bool:
    """Whether a capture leaves out what is at a path below the source, or a directory above it."""
    parts = os.fsencode(path).split(b"/")
    above = (b"/".join(parts[:end]) for end in range(1, len(parts)))
    return any(excludes.match(each, directory=True) for each in above) or excludes.match(
        os.fsencode(path), directory=directory
    )


@dataclass
class _Look:
    root: str
    trees: Sequence[_Tree]
    repositories: Sequence[str]
    _been: set[str] = field(default_factory=set)

    def below(self, directory: str, inside: str) -> Iterator[Neighbour]:
        """What is in a directory, `inside` being its name in the place with a slash at its end."""
        self._been.add(directory)
        loose = []
        for entry in self._entries(directory):
            path, name = os.path.realpath(entry.path), inside + entry.name
            if not os.path.isdir(path):
                loose += [] if self._protecting(path) else [entry.name]
            elif path in self.repositories:
                continue
            elif self._holds_something(path):
                if path not in self._been:
                    yield from self.below(path, f"{name}/")
            else:
                yield self._neighbour(name, path)
        if loose:
            yield self._files(directory, inside, loose)

    def _entries(self, directory: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(directory) as found:
                return sorted(found, key=lambda entry: os.fsencode(entry.name))
        except FileNotFoundError:
            raise SourceMissingError(
                f"The directory {directory} does not exist.",
                subject=directory,
                hint="Is its file system mounted? Check the path in the plan.",
            ) from None
        except NotADirectoryError:
            raise SourceFormatError(
                f"{directory} is not a directory.", subject=directory, hint="Name the directory to look into."
            ) from None
        except OSError as error:
            raise SourceError(
                f"The directory {directory} cannot be listed: {error.strerror}.",
                subject=directory,
                hint="Give this user the permission to list it.",
            ) from None

    def _holds_something(self, path: str) -> bool:
        """Whether a source or a repository is deeper in a directory that is in no source itself."""
        inner = [*(tree.root for tree in self.trees), *self.repositories]
        return not self._protecting(path) and any(each != path and _is_in(each, path) for each in inner)

    def _protecting(self, path: str) -> tuple[str, ...]:
        return tuple(tree.source.name for tree in self.trees if tree.why_not(path) == "")

    def _neighbour(self, name: str, path: str) -> Neighbour:
        if sources := self._protecting(path):
            return Neighbour(name, "directory", sources)
        reasons = [why for tree in self.trees if (why := tree.why_not(path))]
        return Neighbour(name, "directory", settings=_settings(path), note="; ".join(reasons))

    def _files(self, directory: str, inside: str, names: Sequence[str]) -> Neighbour:
        """All files of a directory that are in no source, as one: each alone would be noise."""
        text = f"{how_many(len(names), 'file')}: {first_of(names, _NAMED)}"
        known = _settings(directory)
        settings: dict[str, Json] = {**known, "exclude": ["*/"]} if known else {}
        return Neighbour(inside + LOOSE, "group", settings=settings, note=text)


def _settings(path: str) -> dict[str, Json]:
    """The keys of a source for this path. Empty if no plan can hold the name, because it is not text."""
    return {"files": path} if path.isprintable() else {}


def _file_system(path: str) -> int | None:
    try:
        return os.stat(path).st_dev
    except OSError:  # a link that leads nowhere, or gone meanwhile
        return None


def _is_in(path: str, outer: str) -> bool:
    return path == outer or path.startswith(outer.rstrip("/") + "/")
