"""Recovery points of tables, without a database: Parquet streams and a catalogue, stored by a real session."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from backup_platform.actions.tables.point_tables import PointTables
from backup_platform.domain.model import RecoveryPoint
from backup_platform.domain.ports import Store
from backup_platform.domain.tables import CATALOGUE_PATH, Catalogue, Column, Partitioned, Storage, Table
from backup_platform.sources.tabular.stored import part_path
from backup_platform_tests.support import Bench, ScriptedSource

ENGINE_TYPES = {
    pa.int64(): "bigint",
    pa.string(): "text",
    pa.float64(): "double precision",
    pa.bool_(): "boolean",
}


@dataclass
class Relation:
    """A table to store: its rows, in one or more parts. `types` are the engine's; given ones are stored as text."""

    schema: str
    name: str
    parts: Sequence[pa.Table]
    key: tuple[str, ...] = ()
    types: Mapping[str, str] = field(default_factory=dict)
    row_group: int = 1 << 20
    compression: str = "none"

    def table(self) -> Table:
        columns = tuple(
            Column(
                name=f.name,
                type=self.types.get(f.name) or ENGINE_TYPES.get(f.type, str(f.type)),
                storage=Storage.TEXT if f.name in self.types else Storage.NATIVE,
                nullable=f.name not in self.key,
            )
            for f in self.parts[0].schema
        )
        paths = tuple(part_path(self.schema, self.name, n) for n in range(len(self.parts)))
        return Table(self.schema, self.name, columns, self.key, sum(map(len, self.parts)), paths)

    def streams(self) -> Iterator[tuple[str, bytes]]:
        for path, part in zip(self.table().parts, self.parts, strict=True):
            sink = pa.BufferOutputStream()
            pq.write_table(
                part,
                sink,
                row_group_size=self.row_group,
                compression=self.compression,
                use_dictionary=False,
                use_content_defined_chunking=True,
            )
            yield path, sink.getvalue().to_pybytes()


def catalogue_of(relations: Sequence[Relation]) -> Catalogue:
    return Catalogue(
        "scripted", tuple(sorted((r.table() for r in relations), key=lambda t: (t.schema, t.name)))
    )


def write_tables(
    source: ScriptedSource, *relations: Relation, partitioned: Sequence[Partitioned] = ()
) -> None:
    """Make the next recovery point of a scripted source hold these tables and nothing else."""
    for path in list(source.files):
        source.remove(path)
    catalogue = replace(catalogue_of(relations), partitioned=tuple(partitioned))
    source.write(CATALOGUE_PATH, json.dumps(catalogue.to_json()).encode())
    for relation in relations:
        for part, data in relation.streams():
            source.write(part.encode(), data)


def tables_bench(root: Path) -> Bench:
    bench = Bench(root)
    bench.source.kind, bench.source.name = "postgres", "shop"
    return bench


def store_tables(
    bench: Bench, *relations: Relation, partitioned: Sequence[Partitioned] = ()
) -> RecoveryPoint:
    write_tables(bench.source, *relations, partitioned=partitioned)
    return bench.backup()


def open_tables(bench: Bench, point: RecoveryPoint, store: Store | None = None) -> PointTables:
    repository = bench.open(store)
    return PointTables(repository.reader(point))


def rows_table(**columns: Sequence[Any]) -> pa.Table:
    return pa.table({name: pa.array(values) for name, values in columns.items()})


def ruin(bench: Bench) -> None:
    """Damage every frame in the first half of each pack."""
    for key in bench.keys("packs/"):
        path = bench.root / key
        data = bytearray(path.read_bytes())
        for position in range(0, len(data) // 2, 50_000):
            data[position] ^= 1
        path.write_bytes(data)
