"""Repair: what is damaged or missing comes back, from packs and from copies, and nothing that is sound is touched."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from backup_platform.actions.repair.plan import Act
from backup_platform.errors import RepositoryError
from backup_platform.repository.encryption.key_tests import list_recipients
from backup_platform.repository.encryption.recipients import add_recipient, parse_recipient
from backup_platform.repository.objects.names import DAMAGED, INDEXES, KEYS, MANIFESTS, META, PACKS
from backup_platform.repository.records.forgotten import record_forgotten
from backup_platform.repository.records.tombstones import write_tombstones
from backup_platform.stores.object_store import DirectoryStore
from backup_platform_tests.actions.repair.repair_support import Clinic, acts, clinic_of, manifest_of
from backup_platform_tests.support import (
    Bench,
    Call,
    Do,
    ScriptedStore,
    flipped,
    noise,
    recipient,
    writer_keys,
)


@pytest.fixture
def clinic(tmp_path: Path) -> Clinic:
    return clinic_of(tmp_path)


KINDS = [(PACKS,), (META,), (INDEXES,), (MANIFESTS,)]
EVERYTHING = (PACKS, META, INDEXES, MANIFESTS)


@pytest.mark.parametrize("how", ["flip", "truncate", "remove"])
@pytest.mark.parametrize(
    ("prefixes", "encrypted"), [*((kind, False) for kind in KINDS), (EVERYTHING, False), (EVERYTHING, True)]
)
def test_what_a_copy_has_comes_back(
    tmp_path: Path, prefixes: Iterable[str], encrypted: bool, how: str
) -> None:
    """Every object of a kind at once."""
    clinic = clinic_of(tmp_path, encrypted=encrypted)
    before = {key: (clinic.bench.root / key).read_bytes() for key in clinic.bench.keys(PACKS)}
    for prefix in prefixes:
        for key in clinic.bench.keys(prefix):
            clinic.harm(key, how)
    clinic.verify()  # marks what is damaged
    result = clinic.run()
    assert (result.failed, result.remaining) == ((), ())
    clinic.check()
    assert {key: (clinic.bench.root / key).read_bytes() for key in clinic.bench.keys(PACKS)} == before
    assert not clinic.bench.keys(DAMAGED)
    again = clinic.plan()
    assert (again.nothing_wrong, again.notes) == (True, ())


def test_a_host_without_an_identity_repairs_an_encrypted_repository(tmp_path: Path) -> None:
    clinic = clinic_of(tmp_path, encrypted=True)
    all_keys, clinic.bench.held = clinic.bench.held, writer_keys()
    for key in clinic.bench.keys(PACKS) | clinic.bench.keys(INDEXES):
        clinic.harm(key, "flip")
    clinic.verify()
    assert clinic.run().sound
    clinic.bench.held = all_keys
    clinic.check()


def test_without_an_identity_packs_that_no_copy_knows_are_not_indexed_and_it_says_so(tmp_path: Path) -> None:
    clinic = clinic_of(tmp_path, encrypted=True)
    all_keys, clinic.bench.held = clinic.bench.held, writer_keys()
    for key in clinic.bench.keys(INDEXES):
        clinic.harm(key, "remove")
    plan = clinic.plan({})
    assert {key.split("/")[0] for _, key in acts(plan)} == {"meta"}
    assert "an identity" in plan.notes[0]
    clinic.bench.held = all_keys
    assert clinic.run({}).sound
    clinic.check()


def test_damaged_metadata_is_found_without_a_verify(clinic: Clinic) -> None:
    """It is read to find out what points need."""
    metadata = clinic.bench.keys(META)
    for key in metadata:
        clinic.harm(key, "flip")
    assert acts(clinic.plan()) >= {(Act.REPLACE, key) for key in metadata}
    assert clinic.run().sound
    clinic.check()


def test_a_plan_writes_nothing_and_says_what_is_where(clinic: Clinic) -> None:
    (key,) = clinic.bench.keys(PACKS) - {min(clinic.bench.keys(PACKS))}
    clinic.harm(key, "remove")
    store = ScriptedStore(clinic.bench.store)
    plan = clinic.repair(store=store).plan()
    assert {call.verb for call in store.calls} <= {"get", "get_range", "get_tail", "head", "list"}
    (step,) = plan.steps
    assert (step.act, step.key, step.donors) == (Act.TAKE, key, ("copy",))
    assert plan.size == step.size == (clinic.copy / key).stat().st_size
    assert "docs@" in step.why


# Without a copy


def test_an_index_is_made_again_from_the_packs(clinic: Clinic) -> None:
    for key in clinic.bench.keys(INDEXES):
        clinic.harm(key, "flip")
    result = clinic.run({})
    assert {step.act for step in result.done} == {Act.INDEX}
    assert result.sound
    clinic.check()


def test_a_mark_on_a_sound_pack_is_taken_away(clinic: Clinic) -> None:
    repository = clinic.bench.open()
    for key in repository.objects.packs():
        repository.marks.mark(key, "for a test")
    assert {act for act, _ in acts(clinic.plan({}))} == {Act.UNMARK}
    assert clinic.run({}).sound
    clinic.check()


def test_what_nobody_has_is_listed_and_left(clinic: Clinic) -> None:
    before = clinic.bench.keys()
    key = max(clinic.bench.keys(PACKS), key=lambda key: (clinic.bench.root / key).stat().st_size)
    clinic.harm(key, "flip")
    clinic.harm(manifest_of(clinic, clinic.points[0]), "flip")
    clinic.verify()
    plan = clinic.plan({})
    assert plan.steps == ()
    assert ["blobs that no sound pack holds" in text for text in plan.lost].count(True) == 1
    assert ["is damaged, and no copy" in text for text in plan.lost].count(True) == 1
    result = clinic.run({})
    assert not result.sound
    assert len(result.remaining) >= 2
    assert clinic.bench.keys() >= before


def test_a_damaged_pack_that_nothing_needs_is_no_loss(clinic: Clinic) -> None:
    key = max(clinic.bench.keys(PACKS), key=lambda key: (clinic.bench.root / key).stat().st_size)
    clinic.bench.open().marks.mark(key, "for a test")
    clinic.bench.source.write(b"more", noise(70_000, 42))  # so that the new pack is another
    clinic.points.append(clinic.bench.backup())
    clinic.contents.append(dict(clinic.bench.source.files))
    clinic.bench.damage(key)
    plan = clinic.plan({})
    assert (plan.steps, plan.lost) == ((), ())
    assert "no point needs it" in plan.notes[0]
    clinic.check()


# Copies that are not perfect


def test_a_damaged_copy_is_not_believed_and_the_next_one_is_asked(clinic: Clinic, tmp_path: Path) -> None:
    second = tmp_path / "second"
    shutil.copytree(clinic.copy, second)
    for key in clinic.bench.keys(PACKS):
        clinic.harm(key, "remove")
        path = clinic.copy / key
        path.write_bytes(flipped(path.read_bytes()))
    alone = clinic.run()
    assert len(alone.failed) == 2
    assert "altered" in alone.failed[0]
    assert not clinic.bench.keys(PACKS)
    donors = {"copy": clinic.donor(), "second": clinic.donor(DirectoryStore(str(second)))}
    assert clinic.run(donors).sound
    clinic.check()


def test_a_copy_that_does_not_answer_is_told_and_the_others_help(clinic: Clinic) -> None:
    for key in clinic.bench.keys(META):
        clinic.harm(key, "remove")
    opened = [False]
    dead = clinic.donor(
        ScriptedStore(DirectoryStore(str(clinic.copy)), lambda _: Do.FAIL if opened[0] else None)
    )
    opened[0] = True
    repair = clinic.repair({"dead": dead, "copy": clinic.donor()})
    plan = repair.plan()
    assert "The copy dead cannot be used" in plan.notes[0]
    assert repair.run(plan).sound
    clinic.check()


def test_the_same_blobs_in_another_pack_of_the_copy_will_do(clinic: Clinic) -> None:
    """A prune of either side puts blobs into other packs."""
    old = max(clinic.bench.keys(PACKS), key=lambda key: (clinic.bench.root / key).stat().st_size)
    clinic.bench.open().marks.mark(old, "for a test")
    known = clinic.bench.keys(PACKS)
    clinic.backup(42)  # stores the same blobs again, together with others
    (new,) = clinic.bench.keys(PACKS) - known
    clinic.mirror()
    (clinic.copy / old).unlink()
    for key in (old, new):
        clinic.harm(key, "remove")
    shutil.rmtree(clinic.bench.root / DAMAGED)
    assert acts(clinic.plan()) == {(Act.TAKE, new)}
    assert clinic.run().sound
    clinic.check()


def test_another_repository_is_no_copy(clinic: Clinic, tmp_path: Path) -> None:
    other = Bench(tmp_path / "other")
    with pytest.raises(RepositoryError, match="is not a copy"):
        clinic.repair({"other": other.open()})


# Manifests


def test_forgotten_points_do_not_come_back(clinic: Clinic) -> None:
    first = clinic.points[0]
    record_forgotten(clinic.bench.open().objects, first, "for a test", clinic.bench.clock.now())
    clinic.harm(manifest_of(clinic, first), "remove")
    assert clinic.plan().nothing_wrong


def test_a_repository_of_copies_takes_no_points_that_it_never_had(clinic: Clinic) -> None:
    clinic.complete = False
    clinic.harm(manifest_of(clinic, clinic.points[0]), "remove")
    assert clinic.plan().nothing_wrong
    clinic.harm(manifest_of(clinic, clinic.points[1]), "flip")
    assert acts(clinic.plan()) == {(Act.REPLACE, manifest_of(clinic, clinic.points[1]))}


def test_a_point_is_only_put_back_whole(clinic: Clinic) -> None:
    last = clinic.points[-1]
    newest = max(clinic.bench.keys(PACKS), key=lambda key: (clinic.bench.root / key).stat().st_mtime_ns)
    for key in (newest, manifest_of(clinic, last)):
        clinic.harm(key, "remove")
    (clinic.copy / newest).unlink()
    plan = clinic.plan()
    assert [text for text in plan.lost if last.window.key in text]
    result = clinic.run()
    assert manifest_of(clinic, last) not in clinic.bench.keys(MANIFESTS)
    assert "blob that no stored pack holds" in result.failed[0]


def test_what_a_lost_point_needs_is_read_before_it_comes_back(clinic: Clinic) -> None:
    """No verify looks at what no manifest names."""
    packs = clinic.bench.keys(PACKS) | clinic.bench.keys(META)
    for key in [*packs, *clinic.bench.keys(MANIFESTS)]:
        clinic.harm(key, "remove" if key.startswith(MANIFESTS) else "flip")
    assert acts(clinic.plan()) >= {(Act.REPLACE, key) for key in packs}
    assert clinic.run().sound
    clinic.check()


def test_a_manifest_that_later_backups_passed_over_fits_again(clinic: Clinic) -> None:
    """The next backup cannot name what it cannot read. Once that is repaired, the chain holds."""
    clinic.harm(manifest_of(clinic, clinic.points[1]), "flip")
    assert clinic.backup(7).predecessor == clinic.points[0].id
    assert clinic.run().sound
    clinic.check()


def test_points_of_a_copy_that_went_its_own_way_are_not_taken(clinic: Clinic) -> None:
    apart = clinic.donor()
    last = clinic.points[-1]
    path = clinic.copy / manifest_of(clinic, last)
    path.unlink()
    apart.points.commit(replace(last, lateness_s=77.0))
    clinic.backup(7)
    clinic.harm(manifest_of(clinic, last), "flip")
    before = clinic.bench.keys()
    plan = clinic.plan()
    assert "no copy has one that fits its chain" in plan.lost[0]
    assert not clinic.run().sound
    assert clinic.bench.keys() == before


def test_a_manifest_that_a_copy_has_exchanged_since_the_plan_is_not_taken(clinic: Clinic) -> None:
    last = clinic.points[-1]
    key = manifest_of(clinic, last)
    clinic.harm(key, "remove")
    repair = clinic.repair()
    plan = repair.plan()
    (clinic.copy / key).unlink()
    clinic.donor().points.commit(replace(last, lateness_s=77.0))
    assert "has changed since" in repair.run(plan).failed[0]
    assert key not in clinic.bench.keys(MANIFESTS)


def test_what_prune_is_deleting_is_waited_for(clinic: Clinic) -> None:
    key = min(clinic.bench.keys(PACKS))
    clinic.harm(key, "remove")
    (tombstone,) = write_tombstones(clinic.bench.open().objects, [key], final=True)
    plan = clinic.plan()
    assert plan.steps == ()
    assert "prune is deleting it" in plan.notes[0]
    assert plan.lost
    (clinic.bench.root / tombstone).unlink()
    assert clinic.run().sound
    clinic.check()


def test_a_manifest_that_prune_did_not_see_in_time_is_no_success(clinic: Clinic) -> None:
    manifest = manifest_of(clinic, clinic.points[-1])
    clinic.harm(manifest, "remove")

    def dooms(call: Call) -> Do | None:
        if (call.verb, call.key) == ("create", manifest):
            write_tombstones(clinic.bench.open().objects, clinic.bench.keys(PACKS), final=True)
        return None

    result = clinic.run(store=ScriptedStore(clinic.bench.store, dooms))
    assert "was restored, but it needs" in result.failed[0]


# Keys


def test_recipients_come_back_and_none_is_added_that_only_the_copy_has(tmp_path: Path) -> None:
    clinic = clinic_of(tmp_path, encrypted=True)
    bench = clinic.bench
    add_recipient(bench.open().objects, parse_recipient(recipient(1)), bench.clock.now())
    clinic.mirror()
    add_recipient(clinic.donor().objects, parse_recipient(recipient(2)), bench.clock.now())
    known = {key: (bench.root / key).read_bytes() for key in bench.keys(KEYS)}
    documents = sorted(key for key in known if key.endswith(".recipient"))
    clinic.harm(documents[0], "flip")
    clinic.harm(documents[1], "remove")
    assert clinic.run().sound
    assert {key: (bench.root / key).read_bytes() for key in bench.keys(KEYS)} == known
    clinic.check()
    bench.held = writer_keys()
    for key in known:
        (bench.root / key).unlink()
    assert clinic.run().sound
    texts = {each.text for each in list_recipients(bench.open().objects)}
    assert texts == {recipient(number) for number in range(3)}
