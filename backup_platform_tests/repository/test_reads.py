"""The ledger of reads: it may be lost, late, altered or written twice, and only makes packs be read the sooner."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup_platform.domain.ports import Buffer
from backup_platform.errors import DamageError, StoreRefusedError
from backup_platform.repository.objects.documents import Codec
from backup_platform.repository.objects.names import READS, ObjectId, PackKey
from backup_platform.repository.records.reads import (
    COMPACTED_ABOVE,
    Reads,
    compact_reads,
    decode_reads,
    encode_reads,
    load_reads,
    record_reads,
)
from backup_platform.repository.repository import Repository
from backup_platform.stores.object_store import DirectoryStore
from backup_platform_tests.support import Bench, noise

PACKS = st.binary(min_size=32, max_size=32).map(ObjectId.of)
TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))


@given(last=st.dictionaries(PACKS, TIMES, max_size=20))
def test_what_is_written_reads_back_to_the_second(last: dict[ObjectId, datetime]) -> None:
    read = decode_reads("ledger/reads/x", encode_reads(Reads(last), Codec("repository")), Codec("repository"))
    assert read.last == {pack: at.replace(microsecond=0) for pack, at in last.items()}


@given(
    last=st.dictionaries(PACKS, TIMES, max_size=20),
    decoded=st.sets(PACKS),
    points=st.sets(PACKS.map(str), max_size=5),
)
def test_what_was_decoded_reads_back(
    last: dict[ObjectId, datetime], decoded: set[ObjectId], points: set[str]
) -> None:
    tables = {pack: pack[:32] for number, pack in enumerate(last) if number % 2 or pack in decoded}
    written = Reads(last, (), tables, points)
    read = decode_reads("ledger/reads/x", encode_reads(written, Codec("repository")), Codec("repository"))
    assert (read.tables, read.points, read.last.keys()) == (tables, points, last.keys())


def test_that_of_another_repository_is_refused() -> None:
    data = encode_reads(Reads({ObjectId("ab" * 32): datetime(2026, 1, 1, tzinfo=UTC)}), Codec("mine"))
    with pytest.raises(DamageError, match="belongs elsewhere"):
        decode_reads("ledger/reads/x", data, Codec("theirs"))


@pytest.fixture(params=[False, True], ids=["plain", "encrypted"])
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Bench:
    made = Bench(tmp_path, encrypted=request.param)
    made.source.write(b"one", noise(10_000, 1))
    made.backup()
    return made


def test_the_latest_read_of_a_pack_counts(bench: Bench) -> None:
    repository, (pack,) = bench.open(), bench.keys("packs/")
    for day in (2, 3, 1):
        record_reads(repository.objects, dict.fromkeys([pack], ""), datetime(2026, 1, day, tzinfo=UTC))
    assert load_reads(bench.open().objects).last == {pack.id: datetime(2026, 1, 3, tzinfo=UTC)}
    record_reads(repository.objects, dict.fromkeys([], ""), datetime(2026, 1, 4, tzinfo=UTC))
    assert len(bench.keys(READS)) == 3


def test_nothing_was_read_after_the_store_got_the_word_of_it(bench: Bench) -> None:
    """A clock that was ahead must not keep a pack from being read again."""
    repository, (pack,) = bench.open(), bench.keys("packs/")
    record_reads(repository.objects, dict.fromkeys([pack], ""), datetime(2999, 1, 1, tzinfo=UTC))
    assert load_reads(repository.objects).last[pack.id] < datetime.now(UTC) + timedelta(minutes=1)


def test_an_altered_object_says_nothing_and_the_others_do(bench: Bench) -> None:
    repository, (pack,) = bench.open(), bench.keys("packs/")
    record_reads(repository.objects, dict.fromkeys([pack], ""), datetime(2026, 1, 1, tzinfo=UTC))
    record_reads(repository.objects, dict.fromkeys([pack], ""), datetime(2026, 1, 2, tzinfo=UTC))
    bench.damage(max(bench.keys(READS)))
    reads = load_reads(repository.objects)
    assert reads.last == {pack.id: datetime(2026, 1, 1, tzinfo=UTC)}
    assert len(reads.objects) == 1


def compacted(repository: Repository, at: datetime) -> bool:
    return compact_reads(repository.objects, at, repository.points.ids)


def recorded(bench: Bench, count: int) -> PackKey:
    (pack,) = bench.keys("packs/")
    for day in range(count):
        record_reads(
            bench.open().objects,
            dict.fromkeys([pack, PackKey(f"packs/aa/{'a' * 64}")], ""),
            datetime(2026, 1, 1 + day, tzinfo=UTC),
        )
    return pack


def test_many_objects_become_one_without_packs_that_are_gone(bench: Bench) -> None:
    pack = recorded(bench, COMPACTED_ABOVE)
    now = datetime(2026, 2, 1, tzinfo=UTC)
    assert not compacted(bench.open(), now)
    record_reads(bench.open().objects, dict.fromkeys([pack], ""), datetime(2026, 1, 20, tzinfo=UTC))
    assert compacted(bench.open(), now)
    assert len(bench.keys(READS)) == 1
    assert load_reads(bench.open().objects).last == {pack.id: datetime(2026, 1, 20, tzinfo=UTC)}


class Refusing(DirectoryStore):
    def delete(self, key: str) -> None:
        raise StoreRefusedError(f"It does not allow to delete {key}.")


def test_where_nothing_may_be_deleted_nothing_is_compacted(bench: Bench) -> None:
    recorded(bench, COMPACTED_ABOVE + 1)
    assert not compacted(bench.open(Refusing(str(bench.root))), datetime(2026, 2, 1, tzinfo=UTC))
    assert len(bench.keys(READS)) == COMPACTED_ABOVE + 1


class Interrupted(DirectoryStore):
    """Somebody else records while this one compacts, which then dies while it deletes."""

    meanwhile: Bench

    def create(self, key: str, data: Buffer) -> None:
        super().create(key, data)
        record_reads(
            self.meanwhile.open().objects,
            dict.fromkeys([PackKey(f"packs/bb/{'b' * 64}")], ""),
            datetime(2026, 1, 31, tzinfo=UTC),
        )

    def delete(self, key: str) -> None:
        if os.path.exists(os.path.join(self.location, key)):
            super().delete(key)
            raise KeyboardInterrupt


def test_a_compaction_that_is_interrupted_loses_nothing(bench: Bench) -> None:
    pack = recorded(bench, COMPACTED_ABOVE + 1)
    before = load_reads(bench.open().objects).last[pack.id]
    store = Interrupted(str(bench.root))
    store.meanwhile = bench
    with pytest.raises(KeyboardInterrupt):
        compacted(bench.open(store), datetime(2026, 2, 1, tzinfo=UTC))
    last = load_reads(bench.open().objects).last
    assert last[pack.id] == before
    assert "b" * 64 in last


def test_what_was_decoded_survives_compaction(bench: Bench) -> None:
    """And what is said of points that are gone does not."""
    pack = recorded(bench, COMPACTED_ABOVE)
    repository, now = bench.open(), datetime(2026, 2, 1, tzinfo=UTC)
    (point,) = repository.points.all()
    record_reads(repository.objects, {pack: "ab" * 16}, now, [point.id, "0" * 64])
    assert compacted(bench.open(), now)
    reads = load_reads(bench.open().objects)
    assert (reads.tables, reads.points) == ({pack.id: "ab" * 16}, {point.id})


def test_reads_of_very_many_packs_are_several_records_and_stay_so(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is larger than a document could not be read again: everything would be read anew for ever."""
    monkeypatch.setattr("backup_platform.repository.records.reads.READS_PACKS", 3)
    for number in range(8):
        bench.source.write(b"%d" % number, noise(70_000, number))
        bench.backup()
    for key in bench.keys(READS):
        bench.store.delete(key)
    repository, now = bench.open(), bench.clock.now()
    objects, points = repository.objects, {point.id for point in repository.points.all()}
    packs = {key: str(key.id)[:32] for key in objects.packs()}
    assert len(packs) > 9
    record_reads(objects, packs, now, points)
    least = -(-len(packs) // 3)
    assert len(bench.keys(READS)) == least
    expected = load_reads(objects)
    assert expected.last.keys() == {key.id for key in packs}
    assert expected.points == points
    assert not compact_reads(objects, now, lambda: points), "they are as few as they can be"
    for _ in range(COMPACTED_ABOVE + 1):
        record_reads(objects, dict([max(packs.items())]), now)
    assert compact_reads(objects, now, lambda: points)
    assert len(bench.keys(READS)) == least
    found = load_reads(objects)
    assert (found.last, found.tables, found.points) == (expected.last, expected.tables, expected.points)
