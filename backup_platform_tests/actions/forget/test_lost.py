"""Points that somebody took away: the newest of a chain, all of them, those of a copy; and what is no such point."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from backup_platform.actions.evidence import Evidence
from backup_platform.actions.forget.give_up import LostPoints
from backup_platform.actions.forget.lost import Losses, find_losses
from backup_platform.actions.forget.run import Retention
from backup_platform.actions.points.holds import Holds
from backup_platform.actions.verify.run import ReadShare, verify
from backup_platform.domain.keep.retention import KeepRules, SourceRules
from backup_platform.domain.model import Proof, ProofMethod, RecoveryPoint
from backup_platform.domain.ports import Store
from backup_platform.errors import UsageError
from backup_platform.repository.objects.documents import Codec
from backup_platform.repository.objects.names import FORGOTTEN, HOLDS, PROOFS
from backup_platform.repository.points.chains import chain_breaks, chain_gaps, forgotten_links
from backup_platform.repository.records.forgotten import forgotten_places, read_forgotten
from backup_platform.repository.records.proofs import encode_proof
from backup_platform.repository.repository import Repository
from backup_platform_tests.actions.copy_support import Pair, make_pair
from backup_platform_tests.support import Bench, Call, Do, QuietProgress, ScriptedStore


@pytest.fixture(params=[False, True], ids=["plain", "encrypted"])
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Bench:
    return chain(Bench(tmp_path / "repository", encrypted=request.param))


@pytest.fixture
def plain(tmp_path: Path) -> Bench:
    return chain(Bench(tmp_path / "repository"))


def chain(bench: Bench, points: int = 4) -> Bench:
    """A repository of some points, all of them proven."""
    for number in range(points):
        bench.source.write(b"a", b"%d" % number)
        bench.backup()
    prove(bench)
    return bench


def prove(bench: Bench) -> None:
    repository = bench.open()
    verify(repository, repository.points.all(), ReadShare(), bench.clock, QuietProgress())


def losses(repository: Repository, *, complete: bool = True) -> Losses:
    points, errors = repository.points.readable(reread=True)
    return find_losses(repository, points, errors, complete=complete)


def delete(bench: Bench, points: Iterable[RecoveryPoint]) -> list[RecoveryPoint]:
    """As somebody does who is not this program."""
    gone = list(points)
    for point in gone:
        bench.store.delete(bench.open().points.key(point))
    return gone


def lost_ids(bench: Bench) -> list[str]:
    return [each.point for each in losses(bench.open()).subjects]


def giving_up(bench: Bench) -> LostPoints:
    return LostPoints(bench.open(), bench.clock)


def give_up(bench: Bench) -> int:
    return len(giving_up(bench).run(giving_up(bench).lost("docs")))


def test_what_is_there_is_not_lost_and_knowing_it_costs_three_listings(bench: Bench) -> None:
    store = ScriptedStore(bench.store)
    repository = bench.open(store)
    points = repository.points.all()
    store.calls.clear()
    assert find_losses(repository, points, (), complete=True) == Losses()
    assert Counter(f"{call.verb} {call.key}" for call in store.calls) == Counter(
        [f"list {PROOFS}", f"list {HOLDS}", f"list {FORGOTTEN}"]
    )


@pytest.mark.parametrize("count", [1, 3])
def test_the_newest_points_are_missed_when_they_were_deleted(bench: Bench, count: int) -> None:
    gone = delete(bench, bench.open().points.all()[-count:])
    found = losses(bench.open())
    assert [each.point for each in found.subjects] == [point.id for point in gone]
    for text, point in zip(found.texts(), gone, strict=True):
        assert text.startswith(f"docs@{point.window.key} ({point.id[:12]}, number {point.sequence}) is lost")
        assert "`forget docs --lost`" in text


def test_a_hole_in_the_middle_is_told_once(bench: Bench) -> None:
    """By who was proven, and where nothing was, by the chain; in copies a chain has holes."""
    points = bench.open().points.all()
    delete(bench, points[1:3])
    assert len(losses(bench.open()).texts()) == 2
    for key in bench.keys(PROOFS):
        bench.store.delete(key)
    (text,) = losses(bench.open()).texts()
    assert text.startswith("docs: no recovery point 2 to 3 is here")
    assert losses(bench.open(), complete=False).texts() == []


def test_a_place_that_was_given_again_hides_nothing(bench: Bench) -> None:
    """The next backup takes the number. The point that had it is lost all the same; giving it up harms no chain."""
    (gone,) = delete(bench, bench.open().points.all()[-1:])
    assert bench.backup().sequence == gone.sequence
    bench.backup()
    assert lost_ids(bench) == [gone.id]
    assert give_up(bench) == 1
    assert losses(bench.open()) == Losses()
    (record,), errors = read_forgotten(bench.open().objects, forgotten_places(bench.open().objects))
    assert (record.point, record.window, record.reason, errors) == (gone.id, gone.window, "lost", [])
    rules = {"docs": SourceRules(KeepRules(last=1))}
    retention = Retention(bench.open(), rules, bench.clock)
    retention.run_forget(retention.plan_forget())
    here, links = bench.open().points.all(), forgotten_links(bench.open().objects, "docs")
    assert chain_breaks(here, links) == chain_gaps(here, links) == []
    assert losses(bench.open()) == Losses()


def test_giving_up_ends_it_and_the_next_points_are_watched_again(bench: Bench) -> None:
    delete(bench, bench.open().points.all()[-2:])
    assert give_up(bench) == 2
    assert losses(bench.open()) == Losses()
    again = [bench.backup() for _ in range(3)]
    prove(bench)
    assert losses(bench.open()) == Losses()
    delete(bench, again[:1])
    delete(bench, again[2:])
    assert lost_ids(bench) == [again[0].id, again[2].id]
    assert give_up(bench) == 2
    assert losses(bench.open()) == Losses()


def test_what_came_back_is_not_given_up(bench: Bench) -> None:
    """Somebody repairs the manifest between the look at what is lost and the answer."""
    point = bench.open().points.all()[1]
    key = bench.open().points.key(point)
    data = bytes(bench.store.get(key))
    bench.damage(key)
    lost = giving_up(bench).lost("docs")
    assert [each.key for each in lost] == [key]
    bench.store.replace(key, data)
    assert giving_up(bench).run(lost) == []
    assert len(bench.open().points.all()) == 4
    assert forgotten_places(bench.open().objects, "docs") == []


def test_nothing_is_left_and_nothing_is_green(bench: Bench) -> None:
    delete(bench, bench.open().points.all())
    assert len(losses(bench.open()).texts()) == 4
    assert give_up(bench) == 4
    assert losses(bench.open()) == Losses()


def test_what_is_forgotten_or_damaged_is_not_lost(bench: Bench) -> None:
    retention = Retention(bench.open(), {"docs": SourceRules(KeepRules(last=2))}, bench.clock)
    retention.run_forget(retention.plan_forget())
    bench.damage(max(bench.keys("manifests/")))
    assert losses(bench.open()) == Losses()


def test_a_held_point_is_missed_without_any_proof_and_not_given_up(bench: Bench) -> None:
    for key in bench.keys(PROOFS):
        bench.store.delete(key)
    newest = bench.open().points.all()[-1]
    holds = Holds(bench.open(), bench.clock)
    holds.place(newest.id, "a lawsuit", legal=True)
    delete(bench, [newest])
    (text,) = losses(bench.open()).texts()
    assert text.startswith(f"{newest.id[:12]} is lost: it is held")
    bench.open().proofs.record(Proof(newest.id, ProofMethod.DRILL, True, bench.clock.now(), 1.0), newest)
    with pytest.raises(UsageError, match="a lawsuit"):
        give_up(bench)
    holds.release(newest.id, "settled", legal=True)
    assert give_up(bench) == 1
    assert losses(bench.open()) == Losses()


def test_what_others_made_up_is_no_lost_point(bench: Bench) -> None:
    """Else who may write to the store could keep every verify from passing."""
    point = replace(bench.open().points.all()[-1], id="ab" * 32, sequence=9)
    proof = Proof(point.id, ProofMethod.VERIFY, True, bench.clock.now(), 1.0)
    repository = bench.open()
    codec = repository.objects.codec
    for data in (
        b"",
        encode_proof(proof, Codec("another repository"), point)[1],
        encode_proof(proof, Codec("another repository", repository.cipher.hash), point)[1],
        encode_proof(proof, codec)[1],
    ):
        key = encode_proof(proof, codec)[0]
        bench.store.create(key, repository.cipher.wrap(key, data).stored)
        bench.store.create(encode_proof(proof, codec)[0], data)
    bench.store.create(f"{HOLDS}{point.id}/{'01' * 8}", b"made up")
    assert losses(bench.open()) == Losses()


def test_a_record_that_others_made_up_hides_no_lost_point(bench: Bench) -> None:
    (gone,) = delete(bench, bench.open().points.all()[-1:])
    tag = bench.open().points.key(gone).split("/")[1]
    bench.store.create(f"{FORGOTTEN}{tag}/{gone.sequence:010d}-{gone.id}", b"made up")
    lost, record = [*losses(bench.open()).texts(), *Evidence(bench.open()).of_all().findings()]
    assert gone.id[:12] in lost
    assert "altered" in record
    assert give_up(bench) == 1
    assert losses(bench.open()) == Losses()


def test_a_point_that_the_listing_did_not_show_yet_is_not_lost(plain: Bench) -> None:
    """A store that lists late, or a backup that was committed and proven after the manifests were read."""
    repository = plain.open()
    points = repository.points.all()
    assert find_losses(repository, points[:-2], (), complete=True) == Losses()


def test_a_proof_that_does_not_read_back_is_not_the_only_one(plain: Bench) -> None:
    (gone,) = delete(plain, plain.open().points.all()[-1:])
    repository = plain.open()
    plain.clock.advance(hours=1)
    repository.proofs.record(Proof(gone.id, ProofMethod.DRILL, True, plain.clock.now(), 1.0), gone)
    newest = max(repository.proofs.keys(gone.id))

    def script(call: Call) -> Do | None:
        return Do.FLIP if call.verb == "get" and call.key == newest else None

    store: Store = ScriptedStore(plain.store, script)
    assert [each.point for each in losses(plain.open(store)).subjects] == [gone.id]


# Copies


def test_a_copy_misses_what_it_had_and_nothing_that_it_never_had(tmp_path: Path) -> None:
    pair: Pair = make_pair(tmp_path)
    first = [pair.backup() for _ in range(3)]
    pair.copy()
    prove(pair.bench)
    pair.backup()
    pair.store.delete(pair.open().points.key(first[0]))
    pair.store.delete(pair.open().points.key(first[2]))
    found = losses(pair.open(), complete=False)
    assert [each.point for each in found.subjects] == [first[0].id, first[2].id]
    pair.copy()
    assert losses(pair.open(), complete=False) == Losses()
    pair.check(*first)
