"""Damage and loss: it is found, it is never built on, and the next backup heals what the source still has."""

from __future__ import annotations

from pathlib import Path

import pytest

from backup_platform.actions.verify.run import ReadShare, VerifyResult, verify
from backup_platform.errors import BackupError, RepositoryError
from backup_platform.repository.objects.names import PackKey
from backup_platform_tests.support import (
    Bench,
    Call,
    Do,
    Killed,
    QuietProgress,
    ScriptedStore,
    noise,
    tombstone,
)

EVERYTHING = ReadShare()


def verified(bench: Bench, share: ReadShare = EVERYTHING) -> VerifyResult:
    repository = bench.open()
    return verify(repository, repository.points.all(), share, bench.clock, QuietProgress())


def largest(bench: Bench, prefix: str = "packs/") -> PackKey:
    return max(map(PackKey, bench.keys(prefix)), key=lambda key: (bench.root / key).stat().st_size)


@pytest.mark.parametrize("prefix", ["packs/", "meta/"])
@pytest.mark.parametrize("harm", ["flip", "truncate", "empty", "remove"])
def test_a_harmed_pack_is_found_and_the_next_backup_heals(bench: Bench, prefix: str, harm: str) -> None:
    """The old recovery point is whole again, too, because its blobs are the same."""
    first = bench.backup()
    key = largest(bench, prefix)
    path = bench.root / key
    if harm == "flip":
        bench.damage(key)
    elif harm == "remove":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: 0 if harm == "empty" else -100])
    result = verified(bench)
    assert not result.passed
    assert set(result.findings) == {first.id}
    second = bench.backup(force=False)
    assert second.id != first.id
    assert bench.content(second) == bench.content(first) == bench.source.files
    assert verified(bench).passed


@pytest.mark.parametrize("position", [0, 20, -1, -5, -30])
def test_a_flip_anywhere_in_a_meta_pack_is_healed_after_a_verify(bench: Bench, position: int) -> None:
    bench.backup()
    bench.damage(largest(bench, "meta/"), position)
    assert not verified(bench).passed
    point = bench.backup()
    assert bench.content(point) == bench.source.files
    assert verified(bench).passed


def test_damaged_metadata_is_never_built_on_even_before_a_verify(bench: Bench) -> None:
    """The previous inventory is read by every backup: damage that it meets there must not become the base of the
    next recovery point."""
    bench.backup()
    bench.damage(largest(bench, "meta/"))
    for _ in range(2):
        try:
            point = bench.backup()
        except RepositoryError as error:
            assert error.retryable  # noqa: PT017  the retry below is what matters
    assert bench.content(point) == bench.source.files


def test_a_share_that_leaves_out_the_damaged_metadata_still_marks_it(bench: Bench) -> None:
    """Its damage was seen although it was not its turn."""
    bench.backup()
    key = largest(bench, "meta/")
    bench.damage(key)
    assert not verified(bench, ReadShare(cycle=0)).passed
    assert key in bench.open().marks.damaged()


def test_a_damaged_pack_is_not_deduplicated_against(bench: Bench) -> None:
    bench.backup()
    key = largest(bench)
    bench.damage(key)
    verified(bench)
    bench.source.write(b"other name", bench.source.files[b"docs.old/large"])
    assert bench.backup().stats.new_bytes > 1_500_000


def test_a_mended_pack_loses_its_mark_at_once(tmp_path: Path) -> None:
    """A pack that comes out the same is written again in its place; else every backup would store it anew."""
    bench = Bench(tmp_path)
    bench.source.write(b"one", noise(10_000, 1))
    bench.backup()
    (pack,) = bench.keys("packs/")
    bench.damage(pack)
    assert not verified(bench).passed
    assert bench.keys("ledger/damaged/")
    assert bench.backup().stats.new_bytes > 0
    assert bench.keys("packs/") == {pack}
    assert not bench.keys("ledger/damaged/")
    assert bench.backup().stats.new_bytes == 0


def test_readers_prefer_a_sound_copy(bench: Bench) -> None:
    """The same blobs in a damaged and in another pack: the marked one is used last."""
    first = bench.backup()
    key = largest(bench)
    bench.source.write(b"more", noise(2_000_000, 42))  # so that the new pack is another
    bench.open().marks.mark(key, "for a test")
    bench.backup()
    bench.damage(key)
    assert bench.content(first)[b"docs.old/large"] == bench.source.files[b"docs.old/large"]


def test_every_damaged_pack_of_a_backup_of_many_is_named(bench: Bench) -> None:
    for n in range(4):
        bench.source.write(b"part%d" % n, noise(300_000, 50 + n))
        bench.backup()
    packs = sorted(bench.keys("packs/"))
    for key in packs:
        bench.damage(key)
    texts = " ".join(text for found in verified(bench).findings.values() for text in found)
    assert all(key in texts for key in packs)


@pytest.mark.parametrize("harm", ["flip", "truncate", "empty", "remove"])
def test_without_its_index_a_point_still_reads_verify_tells_and_the_next_backup_indexes_again(
    bench: Bench, harm: str
) -> None:
    """An index is derived from the packs' own tables."""
    first = bench.backup()
    (key,) = bench.keys("indexes/")
    path = bench.root / key
    if harm == "flip":
        bench.damage(key)
    elif harm == "remove":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: 0 if harm == "empty" else -100])
    assert bench.content(first) == bench.source.files
    assert "no index names" in " ".join(verified(bench).findings[first.id])
    second = bench.backup(force=False)
    assert second.id != first.id
    assert second.stats.new_bytes == 0
    assert bench.content(first) == bench.content(second) == bench.source.files
    assert verified(bench).passed


def test_a_condemned_pack_is_not_deduplicated_against(bench: Bench) -> None:
    first = bench.backup()
    condemned = bench.keys("packs/") | bench.keys("meta/")
    tombstone(bench, condemned)
    bench.source.write(b"more", noise(70_000, 5))  # so that the new packs are others
    second = bench.backup()
    assert second.stats.new_bytes > first.stats.new_bytes
    for key in condemned:
        (bench.root / key).unlink()
    assert bench.content(second) == bench.source.files


@pytest.mark.parametrize("prefix", ["packs/", "meta/"])
def test_a_pack_doomed_meanwhile_fails_the_commit_and_the_same_blobs_get_another_pack(
    bench: Bench, prefix: str
) -> None:
    bench.backup()
    before = bench.keys("manifests/")
    doomed = bench.keys(prefix)
    bench.source.during = lambda: tombstone(bench, doomed, final=True)
    with pytest.raises(RepositoryError) as caught:
        bench.backup()
    assert caught.value.retryable
    assert bench.keys("manifests/") == before
    bench.source.during = lambda: None
    second = bench.backup()
    for key in doomed:
        (bench.root / key).unlink()
    assert bench.content(second) == bench.source.files


def test_a_pack_condemned_meanwhile_does_not_disturb_the_commit(bench: Bench) -> None:
    """Prune reads the manifests again before it deletes."""
    bench.backup()
    bench.source.during = lambda: tombstone(bench, bench.keys("packs/") | bench.keys("meta/"))
    bench.source.write(b"more", noise(70_000, 5))
    assert bench.content(bench.backup()) == bench.source.files


@pytest.mark.parametrize("prefix", ["packs/", "meta/"])
def test_a_pack_that_vanishes_meanwhile_fails_the_commit(bench: Bench, prefix: str) -> None:
    bench.backup()
    before = bench.keys("manifests/")

    def lose() -> None:
        for key in bench.keys(prefix):
            (bench.root / key).unlink()

    bench.source.during = lose
    with pytest.raises(RepositoryError) as caught:
        bench.backup()
    assert caught.value.retryable
    assert bench.keys("manifests/") == before


@pytest.mark.parametrize("prefix", ["packs/", "meta/", "indexes/", "manifests/"])
@pytest.mark.parametrize("do", [Do.LOSE, Do.FLIP])
def test_a_store_that_lies_about_a_write_is_caught(bench: Bench, prefix: str, do: Do) -> None:
    """It says that it stored the object, and lost it or changed a bit of it."""
    store = ScriptedStore(
        bench.store, lambda c: do if c.verb == "create" and c.key.startswith(prefix) else None
    )
    with pytest.raises(BackupError):
        bench.backup(store)
    if prefix != "manifests/":
        assert not bench.keys("manifests/")


@pytest.mark.parametrize("prefix", ["packs/", "meta/", "indexes/"])
@pytest.mark.parametrize("do", [Do.LOSE, Do.FLIP])
def test_after_a_lie_the_next_backup_is_whole(bench: Bench, prefix: str, do: Do) -> None:
    lies: list[Call] = []

    def once(call: Call) -> Do | None:
        if call.verb == "create" and call.key.startswith(prefix) and not lies:
            lies.append(call)
            return do
        return None

    with pytest.raises(BackupError):
        bench.backup(ScriptedStore(bench.store, once))
    point = bench.backup()
    assert bench.content(point) == bench.source.files
    assert verified(bench).passed


def test_a_crash_before_the_commit_leaves_nothing_visible_and_its_packs_are_used(bench: Bench) -> None:
    store = ScriptedStore(
        bench.store, lambda c: Do.DIE if c.key.startswith("indexes/") and c.verb == "create" else None
    )
    with pytest.raises(Killed):
        bench.backup(store)
    assert bench.open().points.all() == []
    packs = bench.keys("packs/")
    assert packs
    assert not bench.keys("indexes/")
    point = bench.backup()
    assert point.stats.new_bytes == 0
    assert bench.keys("packs/") == packs
    assert bench.content(point) == bench.source.files


def test_a_damaged_pack_that_nothing_names_is_left_alone(bench: Bench) -> None:
    store = ScriptedStore(
        bench.store, lambda c: Do.DIE if c.key.startswith("indexes/") and c.verb == "create" else None
    )
    with pytest.raises(Killed):
        bench.backup(store)
    bench.damage(largest(bench))
    assert bench.content(bench.backup()) == bench.source.files
    assert verified(bench).passed
