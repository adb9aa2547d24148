"""The tables of a recovery point: its catalogue, and the Parquet streams that hold the rows."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from backup_platform.domain.model import Content, RecoveryPoint
from backup_platform.domain.tables import CATALOGUE_PATH, Catalogue, Table
from backup_platform.domain.words import are, first_of, listing, point_label
from backup_platform.errors import DamageError, NotFoundError, UsageError
from backup_platform.kinds import registry
from backup_platform.repository.points.point_reader import RecoveryPointReader

if TYPE_CHECKING:
    from backup_platform.repository.points.point_reader import SeekableStream

NAMED = 20


@dataclass(frozen=True, slots=True)
class SizedTable:
    """A table and two sizes in bytes: that of its Parquet streams, and what they take in the store. Blobs that other
    tables or recovery points share count in full."""

    table: Table
    bytes: int
    stored_bytes: int


def has_tables(point: RecoveryPoint) -> bool:
    """Whether points of its kind are captured as tables."""
    return registry.described(point.kind).tables


def alike(tables: Iterable[Table], pattern: Table) -> bool:
    """Whether tables store the same columns in the same order and form."""
    wanted = [(column.name, column.storage) for column in pattern.columns]
    return all([(column.name, column.storage) for column in table.columns] == wanted for table in tables)


class PointTables:
    """The tables of one recovery point. Raises UsageError for a point that was not captured as tables."""

    def __init__(self, reader: RecoveryPointReader, *, elsewhere: Sequence[str] = ()) -> None:
        """`elsewhere` names sources that have tables, for the advice to whoever named one that has none."""
        self._reader = reader
        self.point: RecoveryPoint = reader.point
        self.catalogue = self._read_catalogue(elsewhere)

    def _read_catalogue(self, elsewhere: Sequence[str]) -> Catalogue:
        content = next((e.content for e in self._reader.entries() if e.stat.path == CATALOGUE_PATH), None)
        if content is None or (catalogue := self._parse(content)) is None:
            kinds = listing(name for name, kind in registry.every().items() if kind.tables)
            have = f"Sources that have tables: {', '.join(elsewhere)}." if elsewhere else ""
            raise UsageError(
                f"{self._name} is of kind {self.point.kind}: it holds no tables.",
                subject=self._name,
                hint=have or f"Sources of kind {kinds} are captured as tables.",
            )
        return catalogue

    def _parse(self, content: Content) -> Catalogue | None:
        try:
            return Catalogue.read(self._reader.read(content))
        except (ValueError, AttributeError) as error:
            if not has_tables(self.point):
                return None  # a file of the user's with the same name
            raise UsageError(
                f"The catalogue of {self._name} cannot be read: {error}.",
                subject=self._name,
                hint="Install the version of backup-platform that wrote it, or a newer one.",
            ) from error

    @property
    def _name(self) -> str:
        return point_label(self.point)

    @cached_property
    def _contents(self) -> dict[bytes, Content]:
        wanted = {path.encode() for table in self.catalogue.tables for path in table.parts}
        return {e.stat.path: e.content for e in self._reader.entries() if e.stat.path in wanted}

    def find(self, name: str) -> Table:
        """The table with the name `schema.name`, or with a name that only one schema has. Raises NotFoundError,
        UsageError."""
        found = list(self.catalogue.find(name))
        if len(found) > 1:
            labels = ", ".join(table.label for table in found)
            raise UsageError(
                f"{name!r} means {len(found)} tables: {labels}.",
                subject=name,
                hint="Add its schema to the name.",
            )
        if not found:
            raise NotFoundError(
                f"{self._name} has no table {name!r}.", subject=self._name, hint=self.advice(name)
            )
        return found[0]

    def advice(self, name: str = "", *, labels: Sequence[str] | None = None) -> str:
        """Which tables there are, those like `name` first, each under its label unless others are given."""
        if labels is None:
            labels = [table.label for table in self.catalogue.readable]
        if not labels:
            return "It has no tables."
        close = difflib.get_close_matches(name, labels, 3) if name else []
        shown = first_of([*close, *(label for label in labels if label not in close)], NAMED)
        return " ".join([f"Its tables are: {shown}.", *self.unreadable()])

    def unreadable(self) -> Iterator[str]:
        """A sentence for each partitioned table that cannot be read as a whole."""
        for table in self.catalogue.partitioned:
            if table.missing:
                named = f"{first_of(table.missing, NAMED)} {are(len(table.missing))}"
                yield f"{table.label} can only be read by its partitions, and {named} not stored."

    def content(self, path: str) -> Content:
        """Where a part is stored. Raises DamageError when the recovery point does not have it."""
        try:
            return self._contents[path.encode()]
        except KeyError as error:
            raise DamageError(
                f"{self._name} lacks {path}, which its catalogue names.", subject=self._name
            ) from error

    def stream(self, path: str) -> SeekableStream:
        """A part as a file; several threads may use its `read_at`. Raises DamageError."""
        return self._reader.stream(self.content(path))

    def sizes(self, tables: Iterable[Table] | None = None) -> Iterator[SizedTable]:
        """Tables, all unless some are given, with their sizes."""
        for table in self.catalogue.tables if tables is None else tables:
            contents = [self.content(path) for path in table.parts]
            yield SizedTable(
                table,
                sum(self._reader.size(content) for content in contents),
                sum(self._reader.stored_size(content) for content in contents),
            )
