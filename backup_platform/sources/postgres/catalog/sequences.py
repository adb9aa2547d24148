"""Values of sequences.

Sequences are outside of transactions: no snapshot holds their values. They are read after the snapshot was taken. So a
value is never behind the rows of the snapshot. It may be ahead of them, as after a crash of the server.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from backup_platform.sources.postgres.catalog.relations import Found
from backup_platform.sources.postgres.document import QualifiedName, SequenceValue
from backup_platform.sources.postgres.quoting import identifier

if TYPE_CHECKING:
    from backup_platform.sources.postgres.connect.connections import Connection

_AT_ONCE = 200


def sequence_values(connection: Connection, sequences: Sequence[Found]) -> Iterator[SequenceValue]:
    """In the order given."""
    for start in range(0, len(sequences), _AT_ONCE):
        some = sequences[start : start + _AT_ONCE]
        query = " UNION ALL ".join(
            f"SELECT {number}, last_value, is_called FROM {identifier(each.schema, each.name)}"  # noqa: S608
            for number, each in enumerate(some)
        )
        with connection.transaction(force_rollback=True):  # the locks are released with it
            values = sorted(connection.execute(query.encode()))
        for number, last_value, is_called in values:
            found = some[number]
            yield SequenceValue(QualifiedName(found.schema, found.name), last_value, is_called)
