"""Digests are equal exactly for equal multisets of rows."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from datetime import date, time
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup_platform.sources.tabular import digest as module
from backup_platform.sources.tabular.digest import LONG_VALUE, Digest, digest, row_hashes, value_hashes
from backup_platform.sources.tabular.locating import locate

SEED = 7
SCHEMA = pa.schema([("a", pa.int32()), ("b", pa.string()), ("c", pa.bool_()), ("d", pa.binary())])
Row = tuple[int | None, str | None, bool | None, bytes | None]
ROW = st.tuples(
    st.none() | st.integers(-3, 3) | st.integers(-(2**31), 2**31 - 1),
    st.none() | st.sampled_from(["", "a", "\0", "a\0"]) | st.text(max_size=40),
    st.none() | st.booleans(),
    st.none() | st.binary(max_size=20),
)


def batch(rows: Sequence[Row]) -> pa.RecordBatch:
    columns = [pa.array([row[i] for row in rows], field.type) for i, field in enumerate(SCHEMA)]
    return pa.record_batch(columns, schema=SCHEMA)


def of(*batches: pa.RecordBatch) -> Digest:
    return digest(batches, len(SCHEMA), SEED)


@given(st.lists(ROW, max_size=30), st.randoms(use_true_random=False), st.integers(0, 30))
def test_order_and_batches_do_not_matter(rows: list[Row], shuffle: random.Random, cut: int) -> None:
    other = list(rows)
    shuffle.shuffle(other)
    whole = batch(other)
    cut = min(cut, whole.num_rows)
    assert of(batch(rows)).equals(of(whole.slice(cut), whole.slice(0, cut)))
    assert (of(whole.slice(cut)) + of(whole.slice(0, cut))).equals(of(whole))


@given(st.lists(ROW, max_size=6), st.lists(ROW, max_size=6))
def test_digests_are_equal_only_for_equal_rows(rows: list[Row], others: list[Row]) -> None:
    assert of(batch(rows)).equals(of(batch(others))) == (Counter(rows) == Counter(others))


def test_swapped_values_are_seen() -> None:
    rows: list[Row] = [(1, "x", None, None), (2, "y", None, None)]
    swapped: list[Row] = [(1, "y", None, None), (2, "x", None, None)]
    assert np.array_equal(of(batch(rows)).columns, of(batch(swapped)).columns)
    assert not of(batch(rows)).equals(of(batch(swapped)))


@given(st.lists(st.binary(max_size=70), min_size=1), st.integers(1, 64))
def test_values_hash_alike_however_they_are_sliced(values: list[bytes], size: int) -> None:
    array, key = pa.array([b"before", *values], pa.binary()).slice(1), np.uint64(5)
    whole = value_hashes(array, key)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SLICE_BYTES", size)
        assert np.array_equal(value_hashes(array, key), whole)
    assert [value_hashes(pa.array([value]), key)[0] for value in values] == list(whole)
    assert len(set(whole)) == len(set(values))


def test_the_length_and_the_order_of_words_count() -> None:
    values = [b"a", b"a\0", b"a" * 8 + b"b" * 8, b"b" * 8 + b"a" * 8, b"a" * 8, b"a" * 8 + b"\0"]
    assert len(set(value_hashes(pa.array(values), np.uint64(1)))) == len(values)


def test_long_values_are_hashed_to_their_last_byte() -> None:
    values = [b"x" * LONG_VALUE, b"x" * (LONG_VALUE + 1), b"x" * LONG_VALUE + b"y", b"x" * (LONG_VALUE + 2)]
    assert len(set(value_hashes(pa.array(values), np.uint64(1)))) == 4


NATIVE: list[tuple[pa.DataType, Any, Any]] = [
    (pa.int16(), 1, -1),
    (pa.int64(), 1, 2),
    (pa.float32(), 0.0, -0.0),
    (pa.float64(), 1.0, 1.0000000000000002),
    (pa.decimal128(10, 2), Decimal("1.00"), Decimal("1.01")),
    (pa.decimal256(60, 2), Decimal("1.00"), Decimal("-1.00")),
    (pa.date32(), date(2026, 1, 1), date(2026, 1, 2)),
    (pa.time64("us"), time(1), time(1, 0, 0, 1)),
    (pa.timestamp("us"), 0, 1),
    (pa.timestamp("us", "UTC"), 0, 1),
    (pa.binary(16), b"0" * 16, b"0" * 15 + b"1"),
    (pa.large_string(), "a", "b"),
    (pa.large_binary(), b"a", b"b"),
    (pa.string(), "", "\0"),
    (pa.bool_(), True, False),
]


@pytest.mark.parametrize(("kind", "one", "other"), NATIVE, ids=lambda value: str(value)[:20])
def test_each_type_tells_values_and_null_apart(kind: pa.DataType, one: Any, other: Any) -> None:
    array = pa.array([one, other, None, one], kind)
    first, second, null, again = value_hashes(array, np.uint64(9))
    assert first == again
    assert len({first, second, null}) == 3
    assert list(value_hashes(array.slice(1, 2), np.uint64(9))) == [second, null]


def test_a_nan_equals_itself_and_no_number() -> None:
    nan, again, one = value_hashes(pa.array([float("nan"), float("nan"), 1.0]), np.uint64(9))
    assert nan == again != one


def test_what_lies_under_a_null_does_not_count() -> None:
    data = [pa.py_buffer(bytes(1)), pa.py_buffer(np.array([0, 3], np.int32).tobytes()), pa.py_buffer(b"abc")]
    garbage = pa.Array.from_buffers(pa.string(), 1, data)
    assert garbage.null_count == 1
    assert (
        value_hashes(garbage, np.uint64(3))[0] == value_hashes(pa.array([None], pa.string()), np.uint64(3))[0]
    )


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(TypeError, match="cannot be compared"):
        value_hashes(pa.array([[1]]), np.uint64(1))


def findings(stored: pa.RecordBatch, restored: pa.RecordBatch, *key: str) -> list[str]:
    return list(locate("s.t", key, lambda: [stored], lambda: [restored], of(stored), of(restored), SEED))


def test_the_row_and_column_that_differ_are_named() -> None:
    stored = batch([(i, f"v{i}", True, b"d") for i in range(1000)])
    restored = batch([(i, f"v{i}" if i != 500 else "w", True, b"d") for i in reversed(range(1000))])
    assert findings(stored, restored, "a") == ["table s.t: the row (a = 500) differs in b."]


def test_lost_and_new_rows_are_named() -> None:
    stored = batch([(1, "x", None, None), (2, "y", None, None)])
    restored = batch([(1, "x", None, None), (3, "z", None, None)])
    assert findings(stored, restored, "a") == [
        "table s.t: the stored row (a = 2) is not in the restored table.",
        "table s.t: the restored row (a = 3) is not in the stored table.",
    ]


def test_without_a_key_repeated_rows_count() -> None:
    row: Row = (1, "x" * 200, None, b"\1")
    (found,) = findings(batch([row, row]), batch([row]))
    assert found.startswith("table s.t: the stored row (a = 1, b = xxx")
    assert len(found) < 300


def test_an_emptied_table_is_said() -> None:
    found = findings(batch([(i, "x", None, None) for i in range(100)]), batch([]), "a")
    assert len(found) == 3


def test_a_hash_covers_every_column() -> None:
    one, _ = row_hashes(batch([(1, None, None, b"x")]), SEED)
    other, _ = row_hashes(batch([(1, None, None, b"y")]), SEED)
    another_seed, _ = row_hashes(batch([(1, None, None, b"x")]), SEED + 1)
    assert len({int(one[0]), int(other[0]), int(another_seed[0])}) == 3
