"""Copies: the same recovery points in another place, whatever interrupts the way there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backup_platform.actions.copy.run import Copying
from backup_platform.actions.verify.run import ReadShare, verify
from backup_platform.domain.model import ProofMethod
from backup_platform.errors import ConflictError, RepositoryError
from backup_platform.repository.encryption.recipients import add_recipient, parse_recipient, retire_recipient
from backup_platform.repository.objects.names import MANIFESTS, META, PACKS
from backup_platform.repository.replicas import init_replica
from backup_platform_tests.actions.copy_support import Pair, grow, make_pair
from backup_platform_tests.support import (
    Bench,
    QuietProgress,
    content_of,
    noise,
    recipient,
    writer_keys,
)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return make_pair(tmp_path)


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_copy_is_the_same_objects_and_restores(tmp_path: Path, encrypted: bool) -> None:
    pair = make_pair(tmp_path, encrypted=encrypted)
    points = grow(pair)
    progress = QuietProgress()
    copying = pair.copying()
    plan = copying.plan(copying.origin.points.all())
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
    proofs = pair.open().proofs.by_point()
    assert {proofs[point.id][0].method for point in (first, second)} == {ProofMethod.VERIFY}
    assert all(proofs[point.id][0].passed for point in (first, second))
    assert third.id not in proofs, "its older packs were not read again"
    assert pair.open().proofs.details(first.id)[0].detail["copied_from"] == str(pair.bench.root)


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
    objects = pair.bench.open().objects
    add_recipient(objects, parse_recipient(recipient(1)), pair.bench.clock.now())
    add_recipient(pair.open().objects, parse_recipient(recipient(2)), pair.bench.clock.now())
    retire_recipient(objects, recipient(0), pair.bench.clock.now())
    assert pair.plan().keys == 3
    assert pair.copy().keys == 3
    assert pair.bench.keys("keys/") < pair.keys("keys/"), "the copy keeps the recipient of its own"
    assert pair.copy().keys == 0


def test_an_altered_recipient_is_not_copied(tmp_path: Path) -> None:
    pair = make_pair(tmp_path, encrypted=True)
    add_recipient(pair.bench.open().objects, parse_recipient(recipient(1)), pair.bench.clock.now())
    (key,) = {k for k in pair.bench.keys("keys/") - pair.keys("keys/") if k.endswith(".recipient")}
    point = pair.backup()
    pair.bench.damage(key)
    result = pair.copy()
    assert result.copied == (point,), "what is wrong below keys/ stops no point"
    assert not result.passed
    assert key in result.key_problems[0]
    assert not pair.keys(key)


def test_an_unrelated_repository_is_refused(tmp_path: Path) -> None:
    pair, other = make_pair(tmp_path / "one"), Bench(tmp_path / "two")
    with pytest.raises(RepositoryError, match="is not a copy of"):
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
    with pytest.raises(RepositoryError, match="1 of 2 recovery points were not copied: docs@") as caught:
        result.require()
    assert not caught.value.retryable
    assert pack in pair.bench.open().marks.damaged(), "the next backup stores again what the source still has"
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
    assert all("another recovery point with the number 2" in text for text in result.findings.values())
    assert pair.keys() == before


def test_a_pack_that_a_copy_lost_is_brought_again(pair: Pair) -> None:
    point = pair.backup()
    pair.copy()
    pack = sorted(pair.keys(PACKS))[0]
    (pair.root / pack).unlink()
    assert pair.plan().points == [point]
    assert pair.copy().packs == 1
    pair.check(point)


def test_points_that_came_long_ago_are_not_looked_into_each_time(pair: Pair) -> None:
    old, new = grow(pair)
    pair.copy()
    week = 8 * 86400
    manifest = pair.root / min(pair.keys(MANIFESTS))
    os.utime(manifest, (manifest.stat().st_mtime - week,) * 2)
    for pack in pair.keys(PACKS):
        (pair.root / pack).unlink()
    copying = pair.copying()
    plan = copying.plan([old, new], thorough=False)
    assert (plan.kept, plan.points) == ((old,), [new])
    assert copying.plan([old, new]).points == [new, old]


def test_a_pack_that_is_damaged_in_the_copy_is_mended_once_that_is_known(pair: Pair) -> None:
    point = pair.backup()
    pair.copy()
    pack = sorted(pair.keys(PACKS))[0]
    (pair.root / pack).write_bytes(b"x" * (pair.root / pack).stat().st_size)
    copy = pair.open()
    assert not verify(copy, copy.points.all(), ReadShare(), pair.bench.clock, QuietProgress()).passed
    assert pair.copy().passed
    assert pair.open().marks.damaged() == set()
    pair.check(point)


def test_metadata_that_a_copy_cannot_read_is_brought_again(pair: Pair) -> None:
    point = pair.backup()
    pair.copy()
    for key in pair.keys(MANIFESTS):
        (pair.root / key).unlink()
    (pack,) = pair.keys(META)
    Bench(pair.root).damage(pack)
    first = pair.copy()
    assert first.waiting == {point.id}, "the damage was not known"
    assert str(pair.root) in first.findings[point.id]
    assert pair.copy().passed
    pair.check(point)


def test_a_point_that_is_named_twice_is_copied_once(pair: Pair) -> None:
    point = pair.backup()
    copying = pair.copying()
    assert copying.run(copying.plan([point, point])).copied == (point,)


def test_points_that_retention_forgot_in_the_copy_do_not_come_back(pair: Pair) -> None:
    first, second = grow(pair)
    pair.copy()
    tag, sequence = sorted(pair.keys(MANIFESTS))[0].split("/")[1:]
    (pair.root / MANIFESTS / tag / sequence).unlink()
    pair.store.create(f"ledger/forgotten/{tag}/{sequence}-{first.id}", b"a record")
    plan = pair.plan()
    assert (plan.steps, plan.forgotten, plan.kept) == ((), (first,), (second,))
