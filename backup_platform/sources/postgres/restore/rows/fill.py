"""The data that a restore loads: tables, large objects, sequences, materialised views. A failure is recorded, and the
others continue."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from backup_platform.domain.model import Json
from backup_platform.domain.ports import Progress
from backup_platform.domain.tables import Table
from backup_platform.sources.postgres.capture.table_facts import RECORD_SEND, table_facts
from backup_platform.sources.postgres.document import QualifiedName
from backup_platform.sources.postgres.quoting import identifier
from backup_platform.sources.postgres.restore.preparation import Preparation
from backup_platform.sources.postgres.restore.rows.large_objects import restore_large_objects
from backup_platform.sources.postgres.restore.rows.load import Load, Loader
from backup_platform.sources.postgres.restore.shortfall import Shortfall
from backup_platform.sources.postgres.target_failures import words

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.rows import TupleRow

    from backup_platform.sources.postgres.options import Facts

_MEMBERS = b"""
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
"""
_THERE = b"""
SELECT w.schema, w.name FROM unnest(%s::text[], %s::text[]) w(schema, name)
 WHERE to_regclass(format('%%I.%%I', w.schema, w.name)) IS NOT NULL
"""


@dataclass
class Rows:
    """`lacking` are labels of tables whose rows are not all there."""

    prepared: Preparation
    progress: Progress
    shortfall: Shortfall
    lacking: list[str] = field(default_factory=list)
    _loader: Loader | None = None

    @property
    def whole(self) -> Collection[str]:
        return self._loader.rows if self._loader else ()

    @property
    def copied(self) -> Mapping[str, int]:
        return self._loader.copied if self._loader else {}

    def load(self) -> None:
        """Raises TargetError when the server is lost or full."""
        self.progress.note("loading tables")
        database, target = self.prepared.database, self.prepared.target
        loader = Loader(
            self.prepared.contents,
            self._connect,
            database.label,
            self.progress,
            stop=target.exit_on_error,
        )
        self._loader = loader
        loader.run(list(self._loads()), target.jobs)
        for label, said in sorted(loader.failures.items()):
            self._lacks(label, self._refused(label, said))
        if target.data_only and not target.occupied:
            self._compare()
        self._large_objects()
        self._set_sequences()

    def refresh(self) -> None:
        with self.prepared.database.connection() as connection:
            self._without_triggers(connection)
            for name in self._present(connection, self.prepared.scope.refresh, "materialized view"):
                self.progress.note(f"refreshing {name.label}")
                statement = f"REFRESH MATERIALIZED VIEW {identifier(name.schema, name.name)}"
                self._attempt(connection, f"rows of materialized view {name.label}", statement)

    def _compare(self) -> None:
        """A trigger that could not be silenced, or a column of another type, may have changed rows on their way."""
        direct = zip(self.prepared.tables, self.prepared.scope.through, strict=True)
        tables = [
            t for t, into in direct if t.label in self.whole and into == QualifiedName(t.schema, t.name)
        ]
        self.progress.note("comparing the rows with the captured ones")
        with self.prepared.database.connection() as connection:
            for label in changed_tables(connection, tables, self.prepared.point.facts):
                self._lacks(label, "the loaded rows differ from the captured ones: something changed them")

    def _lacks(self, label: str, said: str, because: str = "") -> None:
        self.lacking.append(label)
        self.shortfall.add(f"rows of {label}", said, because=because)

    def _refused(self, label: str, said: str) -> str:
        """Rows of other parts of the table may be there."""
        table = next(table for table in self.prepared.tables if table.label == label)
        there = self.copied.get(label, 0)
        return f"{said} ({there:,} of {table.rows:,} rows are there)" if there else said

    def _large_objects(self) -> None:
        if not self.prepared.scope.large_objects:
            return
        contents, standing, target = self.prepared.contents, self.prepared.standing, self.prepared.target
        owners = frozenset() if target.owner is False else standing.privileges.members
        privileges = target.privileges is not False
        with self.prepared.database.connection() as connection:
            for what, said in restore_large_objects(
                connection,
                contents,
                standing.roles,
                owners=owners,
                privileges=privileges,
                there=self.prepared.large_objects_there,
            ):
                self.shortfall.add(what, said)

    def _connect(self) -> Connection[TupleRow]:
        connection = self.prepared.database.connect()
        self._without_triggers(connection)
        return connection

    def _without_triggers(self, connection: Connection[TupleRow]) -> None:
        if self.prepared.standing.privileges.silences:
            connection.execute("SET session_replication_role = replica")

    def _loads(self) -> Iterator[Load]:
        scope, size = self.prepared.scope, self.prepared.contents.stored_bytes
        ours = self._made_here()
        with self.prepared.database.connection() as connection:
            there = _there(connection, scope.through)
        for table, into in zip(scope.tables, scope.through, strict=True):
            if into not in there:
                self._lacks(table.label, "the table is not there", f"table {into.schema}.{into.name}")
                continue
            own = into == QualifiedName(table.schema, table.name)
            exact = not self.prepared.target.data_only
            yield Load(table, into, size(table), empty=into in ours and own, exact=exact)

    def _made_here(self) -> set[QualifiedName]:
        """Tables that may be truncated before they are loaded, where that spares something: made by this restore, and
        not filled by an extension."""
        if self.prepared.target.data_only or not self.prepared.standing.wal_minimal:
            return set()
        with self.prepared.database.connection() as connection:
            members = {QualifiedName(*row) for row in connection.execute(_MEMBERS).fetchall()}
        return set(self.prepared.scope.through) - members

    def _set_sequences(self) -> None:
        values = {value.sequence: value for value in self.prepared.scope.sequences}
        with self.prepared.database.connection() as connection, connection.transaction():
            for name in self._present(connection, values, "sequence"):
                statement = "SELECT pg_catalog.setval(%s::regclass, %s, %s)"
                value, wanted = values[name], identifier(name.schema, name.name)
                arguments = (wanted, value.last_value, value.is_called)
                self._attempt(connection, f"position of sequence {name.label}", statement, arguments)

    def _present(
        self, connection: Connection[TupleRow], names: Iterable[QualifiedName], kind: str
    ) -> Iterator[QualifiedName]:
        wanted = list(names)
        there = _there(connection, wanted)
        for name in wanted:
            if name in there:
                yield name
            else:
                what = "position" if kind == "sequence" else "rows"
                because = f"{kind} {name.schema}.{name.name}"
                self.shortfall.add(f"{what} of {because}", f"the {kind} is not there", because=because)

    def _attempt(
        self, connection: Connection[TupleRow], what: str, statement: str, arguments: tuple[object, ...] = ()
    ) -> None:
        import psycopg

        try:
            with connection.transaction():
                connection.execute(statement.encode(), arguments or None)
        except psycopg.Error as error:
            if connection.closed:
                raise
            self.shortfall.add(what, words(error))


def changed_tables(
    connection: Connection[TupleRow], tables: Sequence[Table], facts: Mapping[str, Json]
) -> Iterator[str]:
    """Labels of those whose rows the server does not hash as the source's server did. Without hashes, none."""
    mode, hashes = facts.get("hash_mode"), facts.get("row_hashes")
    if mode not in ("full", "sampled") or not isinstance(hashes, dict):
        return
    found = table_facts(
        connection, tables, cast("Facts", mode), str(facts.get("hash_algorithm", RECORD_SEND))
    )
    for label, fact in sorted(found.items()):
        if hashes.get(label, fact.hash) != fact.hash:
            yield label


def _there(connection: Connection[TupleRow], names: Iterable[QualifiedName]) -> set[QualifiedName]:
    wanted = list(names)
    columns = [name.schema for name in wanted], [name.name for name in wanted]
    return {QualifiedName(*row) for row in connection.execute(_THERE, columns).fetchall()}
