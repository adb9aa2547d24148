"""DuckDB in isolation: it reads the streams that it is given, in bounded memory, and has access to nothing else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

import duckdb
import pyarrow as pa

from backup_platform.actions.query.files import PROTOCOL, TableFiles
from backup_platform.actions.query.jobs import Jobs
from backup_platform.actions.query.names import quote, sql_names, unique
from backup_platform.actions.tables.point_tables import PointTables, alike
from backup_platform.domain.tables import Storage
from backup_platform.errors import UsageError
from backup_platform.temporary import PrivateDirectory

if TYPE_CHECKING:
    from backup_platform.domain.tables import Table

T = TypeVar("T")
MEMORY = "512MB"
MAX_THREADS = 4
ONE_QUERY = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN, duckdb.StatementType.MULTI)
LOCKED = (
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET python_enable_replacements = false",
    "SET TimeZone = 'UTC'",
    f"SET allowed_directories = ['{PROTOCOL}://']",
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)


class Engine:
    """One private in-memory database. It is a context manager: leaving it ends running queries and removes temporary
    files. All work together may take `time_limit_s`, None for no limit. Temporary files may take half of the free disk
    space."""

    def __init__(self, *, memory: str = MEMORY, time_limit_s: float | None = None) -> None:
        self.files = TableFiles()
        self._spill = PrivateDirectory("query")
        threads = min(os.cpu_count() or 1, MAX_THREADS)
        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": memory,
            "temp_directory": self._spill.name,
            "max_temp_directory_size": f"{shutil.disk_usage(self._spill.name).free // 2_000_000}MB",
            "threads": threads,
        }
        self._connection = duckdb.connect(":memory:", config=settings)
        self._connection.register_filesystem(self.files)
        self._jobs = Jobs(self._connection.interrupt, time_limit_s)
        for statement in LOCKED:
            self._connection.execute(statement)

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._jobs.end()
        self._connection.close()
        self._spill.cleanup()

    def offer(self, tables: PointTables, sql: str) -> None:
        """Make those tables visible whose names are in the query. Opening all tables would read the end of each."""
        catalogue, text = tables.catalogue.readable, sql.lower()
        for table, name in zip(catalogue, sql_names(catalogue), strict=True):
            if name.name.lower().replace('"', '""') not in text or not table.columns:
                continue
            self._execute(f"CREATE SCHEMA IF NOT EXISTS {quote(name.schema)}")
            self._execute(f"CREATE VIEW {name.quoted} AS {self.rows(tables, table, table.parts)}")
            if name.bare and name.schema.lower() != "main":
                self._execute(f"CREATE VIEW main.{quote(name.name)} AS FROM {name.quoted}")

    def rows(self, tables: PointTables, table: Table, parts: Sequence[str]) -> str:
        """A query for the rows of some parts of a table. It has the columns of the table even if there are no rows."""
        if not parts and table.parts:
            return f"FROM ({self.rows(tables, table, table.parts[:1])}) LIMIT 0"
        if not parts:
            columns = ", ".join(f"NULL::VARCHAR AS {quote(column.name)}" for column in table.columns)
            return f"SELECT {columns} WHERE false"
        if table.partitions and not alike(leaves := tables.catalogue.leaves(table.label), table):
            return " UNION ALL ".join(self._arranged(tables, leaf, table, parts) for leaf in leaves)
        urls = ", ".join(f"'{self.files.add(tables.stream(path))}'" for path in parts)
        return f"SELECT * FROM read_parquet([{urls}], hive_partitioning = false)"  # noqa: S608  our own URLs

    def _arranged(self, tables: PointTables, leaf: Table, whole: Table, parts: Sequence[str]) -> str:
        """The rows of a partition, with the columns of the whole: as text where one of the partitions has text."""
        places = {column.name: place for place, column in enumerate(leaf.columns)}
        names = unique([column.name for column in whole.columns])
        columns = ", ".join(
            f"c{places[column.name]}{'' if column.storage is Storage.NATIVE else '::VARCHAR'} AS {quote(name)}"
            for column, name in zip(whole.columns, names, strict=True)
        )
        numbered = ", ".join(f"c{place}" for place in range(len(leaf.columns)))
        rows = self.rows(tables, leaf, [path for path in leaf.parts if path in parts])
        return f"(SELECT {columns} FROM ({rows}) AS leaf({numbered}))"  # noqa: S608  our own names

    def query(self, sql: str, *, advice: str = "") -> duckdb.DuckDBPyRelation:
        """One query as a relation that runs when it is read. Raises UsageError, or what reading raised."""
        with self.translated(advice):
            statements = self._connection.extract_statements(sql)
            if len(statements) != 1 or statements[0].type not in ONE_QUERY:
                raise UsageError(
                    "That is not one query.",
                    hint="Write one SELECT (or FROM, WITH, VALUES, DESCRIBE, EXPLAIN).",
                )
            return self.run(lambda: self._connection.sql(sql))

    @contextmanager
    def translated(self, advice: str = "") -> Iterator[None]:
        """Translates errors of DuckDB: errors of the store become the store's, all others become the query's."""
        try:
            yield
        except (duckdb.Error, pa.ArrowException, OSError) as error:  # what fails late comes through Arrow
            if self.files.failure is not None:
                raise self.files.failure from error
            hint = next((hint for sign, hint in _HINTS.items() if sign in str(error)), advice)
            raise UsageError(f"The query failed: {str(error).strip()}", hint=hint) from error

    def run(self, work: Callable[[], T]) -> T:
        """Run the work so that Ctrl-C, SIGTERM and the time limit end it. Raises TimeLimitError, and the errors of the
        work."""
        return self._jobs.run(work)

    def _execute(self, statement: str) -> None:
        with self.translated():
            self.run(lambda: self._connection.execute(statement))


_MORE_MEMORY = "Select fewer columns or rows; sorts and joins of large values need the most."
_HINTS = {  # by what the error says
    "max_temp_directory_size": f"Half of the temporary space is used: set TMPDIR to a larger disk. {_MORE_MEMORY}",
    "Out of Memory Error": _MORE_MEMORY,
    "maximum total string size": _MORE_MEMORY,
}
