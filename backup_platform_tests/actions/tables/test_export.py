"""Exported files hold what is stored, are proven to, and replace nothing by themselves."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from obstore.store import MemoryStore

from backup_platform.actions.tables import export as exporting_action
from backup_platform.actions.tables import export_target
from backup_platform.actions.tables.export import ExportSummary, export
from backup_platform.domain.tables import Catalogue
from backup_platform.errors import NotFoundError, TargetError
from backup_platform.stores.object_store import ObjectStore
from backup_platform_tests.actions.tables_support import (
    Relation,
    open_tables,
    rows_table,
    store_tables,
    tables_bench,
)
from backup_platform_tests.support import QuietProgress

NUMBERS = pa.table(
    {
        "id": pa.array([1, 2, 3, None]),
        "v": pa.array([float("nan"), -0.0, None, 1.5]),
        "t": pa.array(["", None, "é\0", "x" * 999]),
    }
)
RELATIONS = (
    Relation("public", "one", [NUMBERS], ("id",), row_group=3),
    Relation("public", "two", [NUMBERS, NUMBERS.slice(1)], row_group=2),
    Relation("public", "two-00000", [rows_table(a=[1])]),
    Relation("..", "a/b", [rows_table(a=["odd"])]),
    Relation("public", "empty", [rows_table(a=pa.array([], pa.int64()))]),
    Relation("public", "packed", [rows_table(a=list(range(1000)))], compression="zstd"),
)
Run = Callable[..., ExportSummary]


@pytest.fixture
def bucket() -> ObjectStore:
    return ObjectStore(MemoryStore(), "memory://bucket")


@pytest.fixture
def run(tmp_path: Path, bucket: ObjectStore) -> Run:
    bench = tables_bench(tmp_path / "repository")
    tables = open_tables(bench, store_tables(bench, *RELATIONS))

    def call(to: str, *names: str, overwrite: bool = False) -> ExportSummary:
        return export(
            tables,
            to,
            names,
            overwrite=overwrite,
            open_store=lambda location: bucket,
            clock=bench.clock,
            progress=QuietProgress(),
        )

    return call


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_all_tables(run: Run, tmp_path: Path) -> None:
    to = tmp_path / "out"
    done = run(str(to))
    assert files(to) == [
        "%2E%2E/a%2Fb.parquet",
        "catalogue.json",
        "public/empty.parquet",
        "public/one.parquet",
        "public/packed.parquet",
        "public/two%2D00000.parquet",
        "public/two-00000.parquet",
        "public/two-00001.parquet",
    ]
    catalogue = Catalogue.from_json(json.loads((to / "catalogue.json").read_text()))
    for relation in RELATIONS:
        (table,) = [t for t in catalogue.tables if (t.schema, t.name) == (relation.schema, relation.name)]
        for part, wanted in zip(table.parts, relation.parts, strict=True):
            found = pq.ParquetFile(to / part)
            assert str(found.read().to_pydict()) == str(wanted.to_pydict())  # as texts, because of NaN
            assert {found.metadata.row_group(0).column(0).compression} <= {
                "ZSTD"
            } or not found.metadata.num_rows
    assert (done.tables, done.files, done.rows) == (6, 7, 4 + 7 + 1 + 1 + 0 + 1000)
    assert (
        done.bytes
        == sum((to / name).stat().st_size for name in files(to)[2:]) + (to / files(to)[0]).stat().st_size
    )


def test_some_tables(run: Run, tmp_path: Path) -> None:
    to = tmp_path / "out"
    assert run(str(to), "one", "public.empty", "one").tables == 2
    assert files(to) == ["catalogue.json", "public/empty.parquet", "public/one.parquet"]
    with pytest.raises(NotFoundError, match="'nope'"):
        run(str(to), "nope")


def test_nothing_is_replaced_unless_it_is_asked_for(run: Run, tmp_path: Path) -> None:
    to = tmp_path / "out"
    (to / "public").mkdir(parents=True)
    (to / "public/one.parquet").write_text("mine")
    with pytest.raises(TargetError, match=r"1 of the files.*public/one\.parquet"):
        run(str(to))
    assert files(to) == ["public/one.parquet"]
    run(str(to), overwrite=True)
    assert pq.read_table(to / "public/one.parquet").num_rows == 4


def test_a_file_that_appears_meanwhile_is_not_replaced(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = tmp_path / "out"
    (to / "public").mkdir(parents=True)
    (to / "public/one.parquet").write_text("mine")
    monkeypatch.setattr(export_target.DirectoryTarget, "occupied", lambda self, names: [])
    with pytest.raises(TargetError, match="exists already"):
        run(str(to), "one")
    assert files(to) == ["public/one.parquet"]
    assert (to / "public/one.parquet").read_text() == "mine"


@pytest.mark.parametrize("lost", ["a row", "a bit", "a column"])
def test_what_reads_back_different_is_not_published(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    encode = exporting_action._encode

    def badly(stored: Any, draft: str) -> None:
        encode(stored, draft)
        table = pq.ParquetFile(draft).read()
        if lost == "a bit":
            table = table.set_column(1, "v", pa.array([float("nan"), 0.0, None, 1.5]))
        table = {"a row": table.slice(1), "a bit": table, "a column": table.select(["id", "v"])}[lost]
        pq.write_table(table, draft, row_group_size=3)

    monkeypatch.setattr(exporting_action, "_encode", badly)
    to = tmp_path / "out"
    with pytest.raises(TargetError, match="different"):
        run(str(to), "one")
    assert files(to) == []


def test_a_directory_that_cannot_be_made(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TargetError, match="cannot be written"):
        run(str(tmp_path / "file" / "below"))


def test_to_a_bucket(run: Run, tmp_path: Path, bucket: ObjectStore) -> None:
    done = run("memory://bucket", "one", "two")
    found = sorted(item.key for item in bucket.list(""))
    assert found == [
        "catalogue.json",
        "public/one.parquet",
        "public/two-00000.parquet",
        "public/two-00001.parquet",
    ]
    data = bytes(bucket.get("public/one.parquet"))
    assert pq.read_table(pa.BufferReader(data)).num_rows == 4
    assert done.files == 3
    with pytest.raises(TargetError, match="3 of the files"):
        run("memory://bucket", "two")
    run("memory://bucket", "two", overwrite=True)
    assert not [name for name in os.listdir(tmp_path) if "export" in name]


def test_an_upload_that_reads_back_different_is_an_error(
    run: Run, bucket: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = bucket.upload

    def badly(key: str, path: str) -> None:
        data = bytearray(Path(path).read_bytes())
        data[len(data) // 2] ^= 1
        Path(path).with_suffix(".bad").write_bytes(data)
        upload(key, str(Path(path).with_suffix(".bad")))

    monkeypatch.setattr(bucket, "upload", badly)
    with pytest.raises(TargetError, match="reads back different"):
        run("memory://bucket", "one")
