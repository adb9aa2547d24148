"""What a repository promises over a sound store: deduplication, reuse, the commit, and refusals."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from backup_platform.domain.model import Content, Json
from backup_platform.errors import (
    BackupError,
    ConflictError,
    DamageError,
    KeyMissingError,
    RepositoryError,
    RepositoryMissingError,
)
from backup_platform.repository.creating import init_repository
from backup_platform.repository.objects.canonical import canonical
from backup_platform.repository.objects.names import ManifestKey, digest
from backup_platform.repository.repository import Repository
from backup_platform.repository.session import Session
from backup_platform.stores.object_store import DirectoryStore
from backup_platform_tests.support import Bench, ManualClock, QuietProgress, ScriptedStore, noise, text


def test_a_point_reads_back_what_was_captured(bench: Bench) -> None:
    point = bench.backup()
    assert bench.content(point) == bench.source.files
    assert point.stats.files == 4
    assert point.stats.source_bytes == sum(map(len, bench.source.files.values()))


def test_an_empty_source_has_a_point(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.content(bench.backup()) == {}


def test_equal_content_is_stored_once(bench: Bench) -> None:
    bench.backup()
    bench.source.write(b"copy", bench.source.files[b"docs.old/large"])
    point = bench.backup()
    assert bench.content(point) == bench.source.files
    assert point.stats.new_bytes < 50_000  # the inventory


def test_equal_files_of_one_backup_are_stored_once(bench: Bench) -> None:
    for n in range(20):
        bench.source.write(b"same/%d" % n, bench.source.files[b"docs.old/large"])
    point = bench.backup()
    assert bench.content(point) == bench.source.files
    assert point.stats.new_bytes < 2_000_000


def test_an_insertion_in_a_large_file_stores_little(bench: Bench) -> None:
    data = noise(20_000_000, 9)
    bench.source.write(b"big", data)
    bench.backup()
    bench.source.write(b"big", data[:7_000_000] + b"inserted" + data[7_000_000:])
    assert bench.backup().stats.new_bytes < 5_000_000


def test_an_unchanged_backup_reads_no_content_and_writes_no_pack(bench: Bench) -> None:
    """But files whose size is said to be 0: some file systems say so of files that have content."""
    first = bench.backup()
    packs, read = bench.keys("packs/") | bench.keys("meta/"), bench.source.read
    second = bench.backup()
    assert bench.keys("packs/") | bench.keys("meta/") == packs
    assert bench.source.read - read == sum(content == b"" for content in bench.source.files.values())
    assert second.stats.new_bytes == 0
    assert second.inventory == first.inventory
    assert bench.content(second) == bench.source.files


def test_a_content_only_changed_in_time_stamps_that_are_too_fresh_is_read_again(bench: Bench) -> None:
    """Two writes within a clock tick of the capture have the same time stamps."""
    bench.source.write(b"fresh", b"before")
    bench.clock.advance(minutes=-2)  # so that the capture happens at the instant of the write
    bench.backup()
    bench.source.write(b"fresh", b"after!")
    assert bench.content(bench.backup())[b"fresh"] == b"after!"


def test_indexes_name_every_blob_once_committed(bench: Bench) -> None:
    bench.backup()
    repository = bench.open()
    indexed = {*repository.indexes().contents.packs, *repository.indexes().meta.packs}
    assert set(repository.objects.packs()) == indexed


def test_every_object_has_its_own_hash_as_name(bench: Bench) -> None:
    bench.backup()
    for key in bench.keys("packs/") | bench.keys("meta/") | bench.keys("indexes/"):
        assert digest((bench.root / key).read_bytes()).hex() == key[-64:]


def test_nothing_is_ever_overwritten(bench: Bench) -> None:
    store = ScriptedStore(bench.store)
    for n in range(3):
        bench.source.write(b"new%d" % n, noise(50_000, n))
        bench.backup(store)
    assert not [call for call in store.calls if call.verb in ("replace", "delete")]


def test_the_manifest_is_written_last(bench: Bench) -> None:
    store = ScriptedStore(bench.store)
    bench.backup(store)
    written = [call.key.split("/")[0] for call in store.calls if call.verb == "create"]
    assert written[-1] == "manifests"
    assert written.index("indexes") > max(i for i, kind in enumerate(written) if kind in ("packs", "meta"))


def test_two_writers_race_and_both_commit(bench: Bench) -> None:
    """The second reads the winner and commits behind it; no recovery point is lost."""
    bench.backup()
    meeting = threading.Barrier(2)
    results: list[object] = []

    def write(name: bytes) -> None:
        other = Bench(bench.root, ManualClock(bench.clock.now()))
        other.source.files.update(bench.source.files)
        other.source.modified.update(bench.source.modified)
        other.source.write(name, name * 1000)
        other.source.during = lambda: _meet(meeting)
        try:
            results.append((other.backup(), dict(other.source.files)))
        except BackupError as error:
            results.append(error)

    threads = [threading.Thread(target=write, args=(name,)) for name in (b"left", b"right")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    points = bench.open().points.all("docs")
    assert [point.sequence for point in points] == [1, 2, 3]
    assert [p.predecessor for p in points[1:]] == [p.id for p in points[:-1]]
    for result in results:
        assert isinstance(result, tuple), result
        point, files = result
        assert point in points
        assert bench.content(point) == files


def test_a_taken_sequence_is_refused_by_the_commit(bench: Bench) -> None:
    point = bench.backup()
    with pytest.raises(ConflictError):
        bench.open().points.commit(replace(point, lateness_s=1.0))


def test_a_commit_that_the_store_reported_as_conflict_but_did_is_a_success(bench: Bench) -> None:
    """A store client that tries again after a lost answer meets its own object."""
    point = bench.backup()
    assert bench.open().points.commit(point) == point


def test_a_commit_that_is_read_back_different_is_refused(bench: Bench) -> None:
    point = bench.backup()
    repository = bench.open()
    repository.points.all()
    (bench.root / ManifestKey.of("docs", 1)).unlink()
    changed = replace(point, lateness_s=9.0)
    assert repository.points.commit(changed).lateness_s == 9.0


def test_a_second_init_is_refused(bench: Bench) -> None:
    with pytest.raises(ConflictError):
        init_repository(bench.store, bench.clock)


def test_no_repository(tmp_path: Path) -> None:
    with pytest.raises(RepositoryMissingError):
        Repository(DirectoryStore(str(tmp_path)), ManualClock())


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"format": 2}, RepositoryError),
        ({"encryption": "age-v1"}, KeyMissingError),
        ({"created_at": "yesterday"}, DamageError),
        ({"created_at": None}, DamageError),
    ],
)
def test_a_root_of_another_kind(bench: Bench, change: dict[str, Json], expected: type[Exception]) -> None:
    path = bench.root / "repository.json"
    path.write_bytes(canonical({**json.loads(path.read_bytes()), **change}))
    with pytest.raises(expected):
        bench.open()


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b"\xff"])
def test_a_damaged_root(bench: Bench, data: bytes) -> None:
    (bench.root / "repository.json").write_bytes(data)
    with pytest.raises(DamageError, match=r"repository\.json"):
        bench.open()


def test_a_blob_that_the_format_does_not_allow_is_refused(bench: Bench) -> None:
    with Session(bench.open(), None) as session:
        for data in (b"", bytes((4 << 20) + 1)):
            with pytest.raises(ValueError, match="blob"):
                session.recorder.blob(data)
        assert len(session.recorder.blob(bytes(4 << 20))) == 32


def test_a_bare_stat_without_a_previous_point_is_refused(bench: Bench) -> None:
    """Silently leaving out the row would be a recovery point that lacks a file."""
    with Session(bench.open(), None) as session, pytest.raises(ValueError, match="needs a previous point"):
        session.recorder.record([bench.source.rows()[0]])


def test_a_bare_stat_that_reuse_said_no_to_is_refused(bench: Bench) -> None:
    point = bench.backup()
    bench.source.write(b"docs/small", b"changed")
    with Session(bench.open(), point) as session:
        rows = bench.source.rows()
        changed = [row for row, same in zip(rows, session.recorder.reuse(rows), strict=True) if not same]
        assert [row.path for row in changed] == [b"docs/small", b"empty"]
        with pytest.raises(ValueError, match="reuse"):
            session.recorder.record(changed)


def test_a_repository_reads_the_point_that_it_just_wrote(bench: Bench) -> None:
    """Also when its writer worked on other indexes than its readers, because a pack was condemned."""
    bench.backup()
    repository = bench.open()
    repository.marks.mark(next(iter(bench.keys("packs/"))), "for a test")
    repository.indexes()
    bench.source.write(b"docs/new", text(5_000, 77))
    bench.clock.advance(minutes=2)
    with Session(repository, None) as session:
        bench.source.capture(session.recorder, QuietProgress())
        inventory = session.finish()
    point = replace(bench.open().points.all()[-1], inventory=inventory, id="")
    assert {e.stat.path for e in repository.reader(point).entries()} >= {b"docs/new"}


def test_a_streams_content_of_nothing_is_empty(bench: Bench) -> None:
    with Session(bench.open(), None) as session:
        ref = session.recorder.stream([b"", b""])
    assert (ref.size, ref.content) == (0, Content())


def _meet(barrier: threading.Barrier) -> None:
    barrier.wait(20)


def test_what_is_gone_is_told_from_what_is_damaged(bench: Bench) -> None:
    """Who meets a pack that another process deleted goes on; one that is damaged is marked."""
    bench.backup()
    damaged, gone = sorted(bench.keys("packs/"))[0], next(iter(bench.keys("meta/")))
    bench.damage(damaged)
    (bench.root / gone).unlink()
    for key, missing in ((damaged, False), (gone, True)):
        with pytest.raises(DamageError) as caught:
            bench.open().objects.verified(key)
        assert (caught.value.missing, caught.value.subject) == (missing, key)


def test_a_manifest_that_cannot_be_read_is_named(bench: Bench) -> None:
    bench.backup()
    (key,) = bench.keys("manifests/")
    bench.damage(key)
    points, errors = bench.open().points.readable()
    assert (points, [error.subject for error in errors]) == ([], [key])
