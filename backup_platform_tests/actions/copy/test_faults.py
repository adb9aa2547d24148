"""Copies that are interrupted, that a store fails, or that prune comes across."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest

from backup_platform.errors import DamageError, RepositoryError, StoreError
from backup_platform.repository.encryption.key_files import Keys
from backup_platform.repository.objects.names import INDEXES, MANIFESTS, META, PACKS, PackKey
from backup_platform.repository.records.tombstones import write_tombstones
from backup_platform_tests.actions.copy_support import Pair, grow, make_pair
from backup_platform_tests.support import (
    Bench,
    Call,
    Do,
    Killed,
    QuietProgress,
    ScriptedStore,
    tombstone,
    writer_keys,
)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return make_pair(tmp_path)


def doom(pair: Pair, packs: Iterable[str]) -> None:
    """As a prune does that is about to delete packs of the copy."""
    write_tombstones(pair.open().objects, map(PackKey, packs), final=True)


def test_a_pack_that_is_only_condemned_in_the_copy_is_read_again_and_used(pair: Pair) -> None:
    pair.backup()
    pair.copy()
    point = grow(pair, 1)[0]
    tombstone(Bench(pair.root), pair.keys(PACKS))
    result = pair.copy()
    assert result.passed
    assert point in result.copied
    pair.check(point)


@pytest.mark.parametrize("encrypted", [False, True])
def test_what_is_in_packs_that_prune_is_deleting_gets_other_packs(tmp_path: Path, encrypted: bool) -> None:
    pair = make_pair(tmp_path, encrypted=encrypted)
    point = pair.backup()
    pair.copy()
    for key in pair.keys(MANIFESTS):
        (pair.root / key).unlink()
    going = pair.keys(PACKS) | pair.keys(META)
    doom(pair, going)
    assert pair.copy().passed
    for key in going:
        (pair.root / key).unlink()
    pair.check(point)


def test_without_an_identity_contents_that_prune_is_deleting_are_waited_for(tmp_path: Path) -> None:
    pair = make_pair(tmp_path, encrypted=True)
    pair.backup()
    pair.copy()
    (manifest,) = pair.keys(MANIFESTS)
    (pair.root / manifest).unlink()
    doom(pair, pair.keys(PACKS))
    pair.bench.held = writer_keys()
    (text,) = pair.plan().findings.values()
    assert "prune is deleting" in text
    result = pair.copy()
    assert (result.copied, len(result.findings)) == ((), 1)
    assert not pair.keys(MANIFESTS)


def test_a_pack_that_prune_dooms_at_the_commit_is_no_success(pair: Pair) -> None:
    point = pair.backup()

    def condemn(call: Call) -> None:
        if call.verb == "create" and call.key.startswith(MANIFESTS):
            doom(pair, pair.keys(PACKS))

    result = pair.copy(target=ScriptedStore(pair.store, condemn))
    assert result.copied == ()
    assert result.waiting == result.findings.keys() == {point.id}
    with pytest.raises(RepositoryError) as caught:
        result.require()
    assert caught.value.retryable
    for key in pair.keys(PACKS):
        (pair.root / key).unlink()
    assert pair.copy().passed
    pair.check(point)


def at_write(number: int, do: Do) -> Callable[[Call], Do | None]:
    """Transfers run side by side: which write is the n-th is not always the same."""
    writes = count(1)
    return lambda call: do if call.verb in ("create", "replace") and next(writes) == number else None


@pytest.mark.parametrize("do", [Do.DIE, Do.DIE_AFTER, Do.FAIL, Do.FAIL_AFTER])
def test_whatever_stops_a_copy_the_next_one_goes_on(tmp_path: Path, do: Do) -> None:
    """At every write to the copy; nothing that is committed there by then lacks anything."""
    pair = make_pair(tmp_path / "counted")
    grow(pair)
    counted = ScriptedStore(pair.store)
    pair.copy(target=counted)
    for number in range(1, 1 + sum(call.verb in ("create", "replace") for call in counted.calls)):
        pair.root = tmp_path / f"{do.name}{number}"
        pair.__post_init__()
        with pytest.raises((Killed, StoreError)):
            pair.copy(target=ScriptedStore(pair.store, at_write(number, do)))
        pair.check(*pair.open().points.all())
        assert pair.copy().passed
        pair.check(*pair.bench.open().points.all())


@pytest.mark.parametrize("do", [Do.LOSE, Do.FLIP])
def test_a_copy_that_loses_or_alters_a_write_is_noticed(tmp_path: Path, do: Do) -> None:
    pair = make_pair(tmp_path)
    point = pair.backup()
    for prefix in (PACKS, META, INDEXES, MANIFESTS):
        pair.root = tmp_path / f"{do.name}-{prefix}"
        pair.__post_init__()

        def script(call: Call, prefix: str = prefix) -> Do | None:
            return do if call.verb == "create" and call.key.startswith(prefix) else None

        try:
            assert not pair.copy(target=ScriptedStore(pair.store, script)).passed
        except DamageError:
            assert pair.open().points.readable()[0] == []
        if (do, prefix) != (Do.FLIP, MANIFESTS):  # nothing overwrites a manifest: repair does
            assert pair.copy().passed
            pair.check(point)


def test_packs_that_an_interrupted_copy_left_are_read_and_not_moved_again(tmp_path: Path) -> None:
    pair = make_pair(tmp_path, encrypted=True)
    pair.bench.held = Keys(pair.bench.held.key)
    pair.bench.backup()
    script = lambda call: Do.DIE if call.verb == "create" and call.key.startswith(INDEXES) else None  # noqa: E731
    with pytest.raises(Killed):
        pair.copy(target=ScriptedStore(pair.store, script))
    assert pair.keys(PACKS) == pair.bench.keys(PACKS)
    assert pair.plan().size == 0
    origin = ScriptedStore(pair.bench.store)
    result = pair.copy(origin=origin)
    assert (result.passed, result.packs, result.bytes) == (True, 0, 0)
    assert not any(call.verb == "get" and call.key.startswith(PACKS) for call in origin.calls)


def test_a_dead_store_is_an_error_of_the_store(pair: Pair) -> None:
    pair.backup()
    with pytest.raises(StoreError):
        pair.copy(target=ScriptedStore(pair.store, lambda call: Do.FAIL if call.verb == "create" else None))


def test_two_copies_at_once_do_not_disturb_each_other(pair: Pair) -> None:
    """As when Dagster copies several windows side by side."""
    points = grow(pair, 3)
    both = [pair.copying() for _ in range(2)]
    plans = [copying.plan(points) for copying in both]
    with ThreadPoolExecutor(2) as pool:
        results = [
            pool.submit(copying.run, plan, QuietProgress()) for copying, plan in zip(both, plans, strict=True)
        ]
    assert all(result.result().passed for result in results)
    pair.check(*points)
