"""The partitioned tables above stored ones, so that they can be queried by their names, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from backup_platform.domain.tables import Column, Partitioned, Storage, Table
from backup_platform.sources.postgres.catalog.relation import Relation
from backup_platform.sources.postgres.catalog.relations import (
    PARTITIONED,
    Found,
    RelationSelection,
    relations_of,
)

if TYPE_CHECKING:
    from backup_platform.sources.postgres.connect.connections import Connection


def partitioned_tables(
    connection: Connection, selection: RelationSelection, stored: Sequence[Table]
) -> tuple[Partitioned, ...]:
    """The partitioned tables of a selection, read in the snapshot. `stored` are the stored tables."""
    leaves: dict[int, list[Found]] = {each.oid: [] for each in selection.parents}
    for found in selection.found:
        for above in selection.ancestors(found) if found.kind != PARTITIONED else ():
            leaves.get(above.oid, []).append(found)
    by_label = {table.label: table for table in stored}
    return tuple(
        _partitioned(relation, [found.label for found in leaves[relation.oid]], by_label)
        for relation in relations_of(connection, selection.parents)
    )


def _partitioned(relation: Relation, labels: Sequence[str], stored: Mapping[str, Table]) -> Partitioned:
    leaves = [stored[label] for label in labels if label in stored]
    of_leaves = [column for leaf in leaves for column in leaf.columns]
    native = {column.name for column in of_leaves}
    native -= {column.name for column in of_leaves if column.storage is not Storage.NATIVE}
    columns = tuple(
        Column(
            column.name,
            column.type,
            Storage.NATIVE if column.name in native else Storage.TEXT,
            nullable=not column.not_null,
        )
        for column in relation.columns
    )
    missing = tuple(label for label in labels if label not in stored)
    return Partitioned(
        relation.schema, relation.name, columns, relation.key, tuple(leaf.label for leaf in leaves), missing
    )
