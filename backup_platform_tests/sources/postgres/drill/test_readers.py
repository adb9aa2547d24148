"""The proof does not depend on the reader.

One that corrupts what it reads, in the capture and in the drill alike, may give equal streams on both sides. The drill
fails all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from backup_platform.errors import SourceError
from backup_platform.sources.postgres.capture import queries
from backup_platform.sources.postgres.capture import tables as reading
from backup_platform.sources.postgres.capture.run import _Capture
from backup_platform.sources.postgres.drill import run as drill
from backup_platform_tests.sources.postgres.drill.drill_support import captured
from backup_platform_tests.sources.postgres.servers import execute

Change = Callable[[pa.RecordBatch], pa.RecordBatch]

TABLES = (
    "CREATE TABLE {} (id int PRIMARY KEY, grid int[], at timestamptz, a int, b int, n numeric, f float8, t text)",
    "INSERT INTO {} SELECT i, ARRAY[[i, 2], [3, 4]], '2026-03-29 01:30+01'::timestamptz + i * interval '1 minute',"
    " i, -i, (i || '.50')::numeric, CASE WHEN i % 7 = 0 THEN 'NaN' ELSE i / 8.0 - 1 END, 'text ' || i"
    " FROM generate_series(1, 50) i",
)


def column(name: str, change: Callable[[Any], Any]) -> Change:
    def changed(batch: pa.RecordBatch) -> pa.RecordBatch:
        old = batch.column(name)
        new = pa.array([change(value) for value in old.to_pylist()], old.type)
        return batch.set_column(batch.schema.get_field_index(name), batch.schema.field(name), new)

    return changed


def swap(batch: pa.RecordBatch) -> pa.RecordBatch:
    arrays = dict(zip(batch.schema.names, batch.columns, strict=True))
    arrays["a"], arrays["b"] = arrays["b"], arrays["a"]
    return pa.record_batch(list(arrays.values()), schema=batch.schema)


def swap_rows(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Two rows exchange a value: no column has other values than before."""
    values = batch.column("t").to_pylist()
    values[0], values[1] = values[1], values[0]
    return batch.set_column(7, batch.schema.field("t"), pa.array(values, batch.schema.field("t").type))


def repeat_last(batch: pa.RecordBatch) -> pa.RecordBatch:
    rows = [*range(batch.num_rows - 1), batch.num_rows - 2]
    moved = batch.take(pa.array(rows))
    return moved.set_column(0, batch.schema.field("id"), batch.column("id"))


CORRUPTING: dict[str, Change] = {
    "flattens_arrays": column(
        "grid", lambda text: text.replace("},{", ",").replace("{{", "{").replace("}}", "}")
    ),
    "shifts_a_time_zone": column("at", lambda at: at.replace(hour=(at.hour + 1) % 24)),
    "swaps_two_columns": swap,
    "swaps_values_of_two_rows": swap_rows,
    "loses_scale": column("n", lambda text: str(text).rstrip("0")),
    "replaces_nan": column("f", lambda number: None if number != number else number),
    "repeats_a_row": repeat_last,
}
# Corrupting what is corrupt already changes nothing.
ALIKE_ON_BOTH_SIDES = {"flattens_arrays", "loses_scale", "replaces_nan"}


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def differences(
    request: pytest.FixtureRequest, patch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, ...]]:
    """Of one drill, in which a reader corrupts every table in its own way, and leaves one alone."""
    server = request.getfixturevalue("server18")
    original = queries.batches

    def batches(connection: Any, form: Any, *rest: Any) -> Iterator[pa.RecordBatch]:
        change = CORRUPTING.get(form.relation.name, lambda batch: batch)
        return (change(batch) for batch in original(connection, form, *rest))

    patch.setattr(reading, "batches", batches)
    patch.setattr(drill, "MAX_DIFFERENCES", 1000)
    directory = tmp_path_factory.mktemp("drill")
    with server.database() as url:
        for name in (*CORRUPTING, "sound"):
            execute(url, *(text.format(name) for text in TABLES))
        yield captured(url, directory).drill().differences


@pytest.mark.xdist_group("readers")
@pytest.mark.parametrize("name", CORRUPTING)
def test_a_corrupting_reader_is_caught_by_the_servers_facts(name: str, differences: tuple[str, ...]) -> None:
    found = [line for line in differences if f"public.{name} " in line]
    assert any(line.startswith("facts: the rows of table") for line in found), differences
    if name in ALIKE_ON_BOTH_SIDES:
        assert len(found) == 1


@pytest.mark.xdist_group("readers")
def test_a_sound_table_beside_them_passes(differences: tuple[str, ...]) -> None:
    assert not any("public.sound" in line for line in differences)


def drop_last(original: Callable[..., Iterator[pa.RecordBatch]]) -> Callable[..., Iterator[pa.RecordBatch]]:
    def batches(*arguments: Any) -> Iterator[pa.RecordBatch]:
        return (batch.slice(0, batch.num_rows - 1) for batch in original(*arguments))

    return batches


def test_a_reader_that_drops_the_last_row_fails_in_the_capture(
    database18: str, open_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(database18, *(text.format("t") for text in TABLES))
    monkeypatch.setattr(reading, "batches", drop_last(queries.batches))
    with pytest.raises(SourceError, match="49 of 50"):
        captured(database18, open_tmp)


def test_and_in_the_drill_if_the_capture_believed_it(
    database18: str, open_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(database18, *(text.format("t") for text in TABLES))
    monkeypatch.setattr(reading, "batches", drop_last(queries.batches))
    monkeypatch.setattr(_Capture, "_compare", lambda *_: None)
    report = captured(database18, open_tmp).drill()
    assert "facts: table public.t had 50 rows in the source, and 49 after the restore." in report.differences


def test_a_reader_that_goes_wrong_after_the_capture_is_caught_in_the_streams(
    database18: str, open_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(database18, *(text.format("t") for text in TABLES))
    drilled = captured(database18, open_tmp)
    monkeypatch.setattr(reading, "batches", drop_last(queries.batches))
    report = drilled.drill()
    assert "table public.t: the stored row (id = 50) is not in the restored table." in report.differences
