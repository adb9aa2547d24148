"""Streams whose list of blobs is itself stored: depth 1 and more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backup_platform.actions.structure import needs_of
from backup_platform.actions.verify.run import ReadShare, verify
from backup_platform.domain.model import Content, RecoveryPoint, StreamRef
from backup_platform.domain.ports import Buffer
from backup_platform.errors import RepositoryError
from backup_platform.repository.objects.names import PackKey
from backup_platform.repository.packs.blob_reader import BlobReader
from backup_platform.repository.points import recorder
from backup_platform.repository.points.point_reader import RecoveryPointReader
from backup_platform.repository.session import Session
from backup_platform_tests.support import Bench, QuietProgress, noise, tombstone

MAX = 3


class Fixed:
    """Cuts at every so many bytes."""

    def __init__(self, size: int) -> None:
        self._size = size

    def cut(self, blocks: Iterable[Buffer]) -> Iterator[Buffer]:
        data = b"".join(blocks)
        return (data[i : i + self._size] for i in range(0, len(data), self._size))


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Lists longer than three ids are stored, so that a few chunks make a deep stream."""
    monkeypatch.setattr(recorder, "MAX_LISTED_IDS", MAX)
    made = Bench(tmp_path / "repository")
    monkeypatch.setattr(recorder, "CONTENTS", Fixed(80_000))
    made.source.write(b"deep", noise(2_500_000, 1))  # 32 chunks: lists of lists of lists
    made.source.write(b"shallow", noise(150_000, 2))
    return made


def depth_of(bench: Bench, point: RecoveryPoint, path: bytes) -> int:
    entries = bench.open().reader(point).entries()
    return next(entry.content.depth for entry in entries if entry.stat.path == path)


def lists_of(bench: Bench, point: RecoveryPoint) -> set[str]:
    """Keys of the packs that hold the lists of the deep file."""
    repository = bench.open()
    reader, index = repository.reader(point), repository.indexes().meta
    (deep,) = (entry.content for entry in reader.entries() if entry.stat.path == b"deep")
    levels = (b"".join(reader.blob_ids(Content(deep.blobs, depth))) for depth in range(deep.depth))
    return {place.pack for ids in levels for place in index.locate_all(ids)}


def test_a_deep_stream_reads_back(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "METADATA", Fixed(1_000))
    point = bench.backup()
    assert depth_of(bench, point, b"deep") >= 2
    assert depth_of(bench, point, b"shallow") == 0
    assert point.inventory.content.depth >= 1
    assert bench.content(point) == bench.source.files
    repository = bench.open()
    assert verify(repository, [point], ReadShare(), bench.clock, QuietProgress()).passed


def test_the_content_blobs_of_a_deep_stream_are_in_packs_and_its_lists_in_meta(bench: Bench) -> None:
    point = bench.backup()
    repository = bench.open()
    (deep,) = (e for e in repository.reader(point).entries() if e.stat.path == b"deep")
    assert len(deep.content.ids()) <= MAX
    for identity in repository.reader(point).blob_ids(deep.content):
        assert repository.indexes().contents.locate(identity)
        assert not repository.indexes().meta.locate(identity)
    for identity in deep.content.ids():
        assert repository.indexes().meta.locate(identity)


def test_what_a_point_needs_takes_one_reading_of_its_inventory(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    point, readings, rows = bench.backup(), list[RecoveryPointReader](), RecoveryPointReader.rows

    def counted(reader: RecoveryPointReader) -> Iterator[pa.Table]:
        readings.append(reader)
        return rows(reader)

    monkeypatch.setattr(RecoveryPointReader, "rows", counted)
    repository = bench.open()
    needs = needs_of(repository, point)
    assert needs.findings == ()
    assert needs.packs == repository.indexes().listed.keys()
    assert len(readings) == 1


def test_an_unchanged_deep_stream_is_reused(bench: Bench) -> None:
    first = bench.backup()
    read = bench.source.read
    second = bench.backup()
    assert bench.source.read == read
    assert second.inventory == first.inventory
    assert bench.content(second) == bench.source.files


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chunks=st.integers(0, 60))
def test_streams_of_any_number_of_chunks(bench: Bench, chunks: int) -> None:
    data = [n.to_bytes(4, "big") for n in range(chunks)]
    repository = bench.open()
    with Session(repository, None) as session:
        ref = session.recorder.stream(data, Fixed(4))
        session.finish()
    assert ref.size == 4 * chunks
    assert len(ref.content.ids()) <= MAX
    assert 0 <= ref.content.depth <= 4
    assert read(bench, ref) == b"".join(data)


def test_a_change_of_a_table_stores_only_the_lists_that_it_is_in(tmp_path: Path) -> None:
    """The lists of a stream whose source prescribes its chunks end where ids say so, not after so many."""
    bench = Bench(tmp_path / "repository")
    data = [n.to_bytes(4, "big") for n in range(2000)]
    before, after = (lists(bench, some) for some in (data, [*data[:1000], b"new!", *data[1001:], b"more"]))
    assert len(after - before) <= 4 < len(before)
    assert max(map(len, before)) // 32 < 700


def lists(bench: Bench, data: list[bytes]) -> set[bytes]:
    """The lists of ids of a stream at depth 1, joined each."""
    repository = bench.open()
    with Session(repository, None) as session:
        ref = session.recorder.stream(data, Fixed(4))
        session.finish()
    assert ref.content.depth >= 1
    reader = RecoveryPointReader(_POINT, *readers(bench))
    assert b"".join(reader.read(ref.content)) == b"".join(data)
    ids = list(reader.blob_ids(Content(ref.content.blobs, ref.content.depth - 1)))
    return {bytes(found) for found in readers(bench)[1].blobs(ids)}


def readers(bench: Bench) -> tuple[BlobReader, BlobReader]:
    repository = bench.open()
    indexes = repository.indexes()
    return (
        BlobReader(repository.store, indexes.contents),
        BlobReader(repository.store, indexes.meta),
    )


def read(bench: Bench, ref: StreamRef) -> bytes:
    return b"".join(RecoveryPointReader(_POINT, *readers(bench)).read(ref.content))


def remove(bench: Bench, keys: set[str]) -> None:
    for key in keys:
        (bench.root / key).unlink()


def mark(bench: Bench, keys: set[PackKey]) -> None:
    for key in keys:
        bench.open().marks.mark(key, "for a test")


def ruin(bench: Bench, keys: set[str]) -> None:
    for key in keys:
        bench.damage(key)


@pytest.mark.parametrize("harm", [tombstone, remove, mark])
def test_a_deep_stream_whose_lists_are_not_to_be_relied_on_is_read_again(
    bench: Bench, harm: Callable[[Bench, set[str]], None]
) -> None:
    """The inventory is sound and the contents are stored, but the lists between them are not (for long)."""
    first = separate_lists(bench)
    lists = lists_of(bench, first)
    harm(bench, lists)
    read_before = bench.source.read
    bench.source.write(b"new", b"so that the metadata differs")
    second = bench.backup()
    assert bench.source.read > read_before + 1
    for key in lists & bench.keys():
        (bench.root / key).unlink()
    assert bench.content(second) == bench.source.files


def test_lists_doomed_while_their_rows_were_reused_fail_the_commit(bench: Bench) -> None:
    first = separate_lists(bench)
    bench.source.during = lambda: tombstone(bench, lists_of(bench, first), final=True)
    bench.source.write(b"new", b"so that the inventory differs")
    before = bench.keys("manifests/")
    with pytest.raises(RepositoryError) as caught:
        bench.backup()
    assert caught.value.retryable
    assert bench.keys("manifests/") == before


def test_damaged_lists_do_not_stop_backups(bench: Bench) -> None:
    first = separate_lists(bench)
    ruin(bench, lists_of(bench, first))
    for _ in range(2):
        try:
            point = bench.backup()
        except RepositoryError as error:
            assert error.retryable  # noqa: PT017  the retry is what matters
    assert bench.content(point) == bench.content(first) == bench.source.files


def separate_lists(bench: Bench) -> RecoveryPoint:
    """A recovery point whose lists are in other packs than its inventory."""
    bench.backup()
    bench.source.write(b"later", b"another inventory, the same lists")
    point = bench.backup()
    repository = bench.open()
    inventory = b"".join(repository.reader(point).blob_ids(point.inventory.content))
    holders = {place.pack for place in repository.indexes().meta.locate_all(inventory)}
    assert not holders & lists_of(bench, point)
    return point


def _some_point() -> RecoveryPoint:
    from backup_platform.domain.model import Stats, Window
    from backup_platform_tests.support import START

    window = Window("k", START, START)
    content = StreamRef(0, Content())
    return RecoveryPoint(
        "", 1, "", "docs", "files", window, "UTC", START, START, 0, False, 0, (), {}, Stats(), content, {}
    )


_POINT = _some_point()
