"""Copies: the same recovery points in another place, whatever interrupts the way there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from backup_platform.actions.copy_plan import CopyPlan
from backup_platform.actions.copying import Copying, CopyResult
from backup_platform.actions.verify import ReadShare, verify
from backup_platform.domain.model import ProofMethod, RecoveryPoint
from backup_platform.domain.ports import Store
from backup_platform.errors import ConflictError, DamageError, RepositoryError, StoreError
from backup_platform.repository.format import INDEXES, MANIFESTS, META, PACKS
from backup_platform.repository.keys import Keys
from backup_platform.repository.recipients import add_recipient, parse_recipient, retire_recipient
from backup_platform.repository.replicas import init_replica
from backup_platform.repository.repository import Repository
from backup_platform.repository.tombstones import write_tombstones
from backup_platform.stores.object_store import DirectoryStore
from backup_platform_tests.support import (
    Bench,
    Call,
    Do,
    Killed,
    QuietProgress,
    ScriptedStore,
    content_of,
    noise,
    recipient,
    small_bench,
    tombstone,
    writer_keys,
)


@dataclass
class Pair:
    """A repository with a source, and its copy in another directory."""

    bench: Bench
    root: Path
    contents: dict[str, dict[bytes, bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.store = DirectoryStore(str(self.root))
        init_replica(self.bench.open(), self.store)

    def backup(self) -> RecoveryPoint:
        point = self.bench.backup()
        self.contents[point.id] = self.bench.content(point)
        return point

    def open(self, store: Store | None = None) -> Repository:
        return Repository(store or self.store, self.bench.clock, keys=self.bench.held)

    def copying(self, *, origin: Store | None = None, target: Store | None = None) -> Copying:
        return Copying(self.bench.open(origin), self.open(target), self.bench.clock)

    def copy(self, *, origin: Store | None = None, target: Store | None = None) -> CopyResult:
        copying = self.copying(origin=origin, target=target)
        return copying.run(copying.plan(copying.origin.readable_manifests()[0]))

    def plan(self) -> CopyPlan:
        copying = self.copying()
        return copying.plan(copying.origin.manifests())

    def keys(self, prefix: str = "") -> set[str]:
        files = (p.relative_to(self.root).as_posix() for p in self.root.rglob("*") if p.is_file())
        return {key for key in files if key.startswith(prefix)}

    def check(self, *points: RecoveryPoint) -> None:
        """The copy holds these points, and each restores as it did in the origin."""
        copy = self.open()
        found = {point.id: point for point in copy.manifests()}
        for point in points:
            assert found[point.id] == point
            assert content_of(copy, point) == self.contents[point.id]


def make_pair(place: Path, *, encrypted: bool = False) -> Pair:
    bench = small_bench(place)
    if encrypted:
        bench = Bench(place / "encrypted", encrypted=True)
        bench.source.write(b"large", noise(900_000, 3))
    return Pair(bench, place / "copy")


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return make_pair(tmp_path)


def grow(pair: Pair, times: int = 2) -> list[RecoveryPoint]:
    points = []
    for number in range(times):
        pair.bench.source.write(b"part%d" % number, noise(70_000, number))
        points.append(pair.backup())
    return points


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_copy_is_the_same_objects_and_restores(tmp_path: Path, encrypted: bool) -> None:
    pair = make_pair(tmp_path, encrypted=encrypted)
    points = grow(pair)
    progress = QuietProgress()
    copying = pair.copying()
    plan = copying.plan(copying.origin.manifests())
    assert pair.keys(PACKS) == pair.keys(MANIFESTS) == set(), "a plan writes nothing"
    result = copying.run(plan, progress)
    assert (result.passed, list(result.copied)) == (True, points[::-1])
    moved = pair.bench.keys(PACKS) | pair.bench.keys(META)
    assert (result.packs, result.bytes) == (len(moved), plan.size) == (plan.packs, progress.done)
    for key in moved | pair.bench.keys(MANIFESTS) | pair.bench.keys("keys/") | {"repository.json"}:
        assert (pair.root / key).read_bytes() == (pair.bench.root / key).read_bytes()
    pair.check(*points)
    again = pair.plan()
    assert (again.steps, list(again.kept)) == ((), points[::-1])
    assert pair.copy().packs == 0


def test_a_copy_that_read_every_pack_of_a_point_is_its_proof(pair: Pair) -> None:
    first, second = grow(pair)
    pair.copy()
    third = grow(pair, 3)[-1]
    pair.copy()
    proofs = pair.open().proofs()
    assert {proofs[point.id][0].method for point in (first, second)} == {ProofMethod.VERIFY}
    assert all(proofs[point.id][0].passed for point in (first, second))
    assert third.id not in proofs, "its older packs were not read again"
    assert pair.open().proof_details(first.id)[0].detail["copied_from"] == str(pair.bench.root)


def test_only_packs_with_blobs_that_the_copy_lacks_are_moved(pair: Pair) -> None:
    pair.backup()
    pair.copy()
    before = pair.bench.keys(PACKS) | pair.bench.keys(META)
    point = grow(pair, 1)[0]
    new = (pair.bench.keys(PACKS) | pair.bench.keys(META)) - before
    plan = pair.plan()
    assert {key for step in plan.steps for key in step.packs} == new
    assert plan.size == sum((pair.bench.root / key).stat().st_size for key in new)
    assert pair.copy().packs == len(new)
    pair.check(point)


def test_without_an_identity_an_encrypted_repository_is_copied_too(tmp_path: Path) -> None:
    pair = make_pair(tmp_path, encrypted=True)
    every_key, pair.bench.held = pair.bench.held, writer_keys()
    point = pair.bench.backup()
    assert pair.copy().passed
    pair.bench.held = every_key
    assert content_of(pair.open(), point)[b"large"] == noise(900_000, 3)


def test_recipients_are_kept_in_step_also_retired_ones(tmp_path: Path) -> None:
    pair = make_pair(tmp_path, encrypted=True)
    pair.backup()
    cipher = pair.bench.open().cipher
    add_recipient(cipher, parse_recipient(recipient(1)), pair.bench.clock.now())  # type: ignore[arg-type]
    add_recipient(pair.open().cipher, parse_recipient(recipient(2)), pair.bench.clock.now())  # type: ignore[arg-type]
    retire_recipient(cipher, recipient(0), pair.bench.clock.now())  # type: ignore[arg-type]
    assert pair.plan().keys == 3
    assert pair.copy().keys == 3
    assert pair.bench.keys("keys/") < pair.keys("keys/"), "the copy keeps the recipient of its own"
    assert pair.copy().keys == 0


def test_an_altered_recipient_is_not_copied(tmp_path: Path) -> None:
    pair = make_pair(tmp_path, encrypted=True)
    add_recipient(pair.bench.open().cipher, parse_recipient(recipient(1)), pair.bench.clock.now())  # type: ignore[arg-type]
    (key,) = {k for k in pair.bench.keys("keys/") - pair.keys("keys/") if k.endswith(".recipient")}
    pair.bench.damage(key)
    with pytest.raises(DamageError, match="recipient"):
        pair.copy()
    assert not pair.keys(key)


def test_an_unrelated_repository_is_refused(tmp_path: Path) -> None:
    pair, other = make_pair(tmp_path / "one"), Bench(tmp_path / "two")
    with pytest.raises(RepositoryError, match="is no copy of"):
        Copying(pair.bench.open(), other.open(), pair.bench.clock)
    with pytest.raises(RepositoryError, match="copy of itself"):
        Copying(pair.bench.open(), pair.bench.open(), pair.bench.clock)
    with pytest.raises(ConflictError, match="another repository"):
        init_replica(pair.bench.open(), other.store)
    assert init_replica(pair.bench.open(), pair.store).id == pair.bench.open().info.id


def test_a_damaged_pack_keeps_its_points_from_being_copied_and_no_others(pair: Pair) -> None:
    pair.bench.source.write(b"passing", noise(70_000, 50))
    hurt = pair.backup()
    own = pair.bench.keys(PACKS)
    pair.bench.source.remove(b"passing")
    pair.bench.source.remove(b"large")
    pair.bench.source.remove(b"docs/small")
    sound = grow(pair, 1)[0]
    (pack,) = own
    pair.bench.damage(pack)
    result = pair.copy()
    assert list(result.copied) == [sound]
    assert result.findings.keys() == {hurt.id}
    assert pack in result.findings[hurt.id]
    assert str(pair.bench.root) in result.findings[hurt.id]
    with pytest.raises(RepositoryError, match="1 recovery points were not copied: docs@") as caught:
        result.require()
    assert not caught.value.retryable
    assert pack in pair.bench.open().damaged(), "the next backup stores again what the source still has"
    assert pack not in pair.keys(PACKS)
    pair.check(sound)


def test_a_damaged_manifest_in_the_copy_is_told_and_left(pair: Pair) -> None:
    first, second = grow(pair)
    pair.copy()
    key = sorted(pair.keys(MANIFESTS))[0]
    damaged = (pair.root / key).read_bytes()[:-9] + b"tampered\n"
    (pair.root / key).write_bytes(damaged)
    result = pair.copy()
    assert key in result.findings[first.id]
    assert result.kept == (second,)
    assert (pair.root / key).read_bytes() == damaged


def test_a_copy_that_was_written_to_on_its_own_is_refused_for_that_source(pair: Pair, tmp_path: Path) -> None:
    pair.backup()
    pair.copy()
    other = Bench(pair.root, clock=pair.bench.clock)
    other.source.write(b"else", b"where")
    other.backup()
    grow(pair, 1)
    before = pair.keys()
    result = pair.copy()
    assert len(result.findings) == 2
    assert all("another recovery point in the place of number 2" in text for text in result.findings.values())
    assert pair.keys() == before


def test_a_pack_that_a_copy_lost_is_brought_again(pair: Pair) -> None:
    point = pair.backup()
    pair.copy()
    pack = sorted(pair.keys(PACKS))[0]
    (pair.root / pack).unlink()
    assert pair.plan().points == [point]
    assert pair.copy().packs == 1
    pair.check(point)


def test_a_pack_that_is_damaged_in_the_copy_is_mended_once_that_is_known(pair: Pair) -> None:
    point = pair.backup()
    pair.copy()
    pack = sorted(pair.keys(PACKS))[0]
    (pair.root / pack).write_bytes(b"x" * (pair.root / pack).stat().st_size)
    copy = pair.open()
    assert not verify(copy, copy.manifests(), ReadShare(), pair.bench.clock, QuietProgress()).passed
    assert pair.copy().passed
    assert pair.open().damaged() == set()
    pair.check(point)


def test_points_that_retention_forgot_in_the_copy_do_not_come_back(pair: Pair) -> None:
    first, second = grow(pair)
    pair.copy()
    tag, sequence = sorted(pair.keys(MANIFESTS))[0].split("/")[1:]
    (pair.root / MANIFESTS / tag / sequence).unlink()
    pair.store.create(f"ledger/forgotten/{tag}/{sequence}-{first.id}", b"a record")
    plan = pair.plan()
    assert (plan.steps, plan.forgotten, plan.kept) == ((), (first,), (second,))


def doom(pair: Pair, packs: Iterable[str]) -> None:
    """As a prune does that is about to delete packs of the copy."""
    list(write_tombstones(pair.open(), packs, final=True))


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
        pair.check(*pair.open().manifests())
        assert pair.copy().passed
        pair.check(*pair.bench.open().manifests())


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
            assert pair.open().readable_manifests()[0] == []
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
