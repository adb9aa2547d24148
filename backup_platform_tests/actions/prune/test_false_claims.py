"""Prune tells of packs that are not what an index says before it removes them, and this stays told until a person
settles it. What honest writers leave is not told."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from backup_platform.actions.backup.run import BackupJob
from backup_platform.actions.evidence import Evidence
from backup_platform.actions.prune.plan import PruneSettings
from backup_platform.actions.verify.run import ReadShare, VerifyResult, verify
from backup_platform.domain.recipients import KnownRecipients
from backup_platform.repository.encryption.key_files import Keys
from backup_platform.repository.encryption.recipients import add_recipient, parse_recipient, retire_recipient
from backup_platform.repository.objects.names import PackKey
from backup_platform.repository.records.tombstones import write_tombstones
from backup_platform.repository.repository import Repository
from backup_platform_tests.actions.prune.test_lies import Place
from backup_platform_tests.faults.test_hostile import prune
from backup_platform_tests.support import QuietProgress, all_keys, noise, recipient, writer_keys

DAY = PruneSettings(timedelta(days=1), 0.0)


def needed_rows(place: Place) -> np.ndarray:
    """Rows of packs that points need, as an index has them."""
    return np.concatenate([pack.rows for pack in place.contents().values()])


def claim_more(place: Place) -> PackKey:
    return place.writer.claim_more(noise(20_000, 77))


class OnlyTo:
    """`KnownRecipients` of a writer that encrypts to somebody of its own choice."""

    def __init__(self, number: int) -> None:
        self.pinned = (recipient(number),)


def to_others(place: Place, number: int) -> Repository:
    """The repository, for a writer that encrypts to the n-th identity only."""
    repository = Repository(place.scene.store, place.scene.clock, keys=writer_keys())
    known: KnownRecipients = OnlyTo(number)  # type: ignore[assignment]
    repository.cipher.known_recipients = known  # type: ignore[attr-defined]
    return repository


def encrypt_to(place: Place, number: int) -> PackKey:
    """A pack that no other identity opens, and an index that says that it holds needed blobs."""
    writer = replace(place.writer, repository=to_others(place, number))
    return writer.claim_more(noise(20_000, 78), instead=True)


def told(place: Place) -> list[str]:
    return Evidence(place.scene.open()).of_all().false_claims()


def verified(place: Place) -> VerifyResult:
    repository = place.scene.open()
    clock = place.scene.clock
    return verify(repository, repository.points.all(), ReadShare(), clock, QuietProgress(), whole=True)


@pytest.mark.parametrize("attack", [claim_more, lambda place: encrypt_to(place, 2)], ids=["lie", "closed"])
def test_it_is_told_and_stays_told_when_the_pack_is_gone(attack: object) -> None:
    place = Place(encrypted=True, identity=True)
    key = attack(place)  # type: ignore[operator]
    done = place.prune(3)
    assert done[0].false_claims == 1
    assert key not in place.scene.store.objects
    assert done[-1].false_claims == 0
    (text,) = told(place)
    assert key in text
    assert "was stored at" in text
    (record,) = place.scene.store.keys("ledger/damaged/claims/")
    place.scene.store.delete(record)  # by a person who found out
    assert told(place) == []
    place.restores()


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_pack_that_its_writer_marked_for_deletion_is_looked_at_as_well(encrypted: bool) -> None:
    place = Place(encrypted, identity=encrypted)
    key = claim_more(place)
    write_tombstones(place.scene.open().objects, {key})
    done = place.prune(2)
    assert key not in place.scene.store.objects
    assert [each.false_claims > 0 for each in done] == [True, False]
    assert key in told(place)[0]


def test_garbage_stays_told() -> None:
    place = Place(encrypted=True, identity=True)
    blobs = [(row["blob"].tobytes(), int(row["length"])) for row in needed_rows(place)]
    pack = place.writer.store_garbage(sorted(blobs), meta=False)
    first = place.prune(3)[0]
    assert (first.damaged, first.false_claims) == (1, 1)
    assert pack.key not in place.scene.store.objects
    assert pack.key in told(place)[0]


def test_without_an_identity_nobody_is_accused() -> None:
    place = Place(encrypted=True, identity=False)
    encrypt_to(place, 2)
    claim_more(place)
    assert sum(each.false_claims for each in place.prune(3)) == 0


def test_a_full_verify_tells_of_an_index_that_is_wrong_about_an_unneeded_pack() -> None:
    place = Place(encrypted=True, identity=True)
    assert verified(place).passed
    key = claim_more(place)
    found = verified(place)
    assert [key in text for text in found.findings[""]] == [True]
    assert key in told(place)[0], "it stays told"


def test_a_full_verify_tells_of_packs_that_this_identity_should_open() -> None:
    place = Place(encrypted=True, identity=True)
    key = encrypt_to(place, 2)
    unneeded = verified(place)
    assert unneeded.passed
    assert key in unneeded.notes[0]


def test_a_verify_tells_of_needed_packs_that_this_identity_should_open_and_cannot() -> None:
    """Also where the newest pack opens."""
    place = Place(encrypted=True, identity=True)
    scene, before = place.scene, place.scene.store.keys("packs/")
    scene.source.write(b"stolen", noise(30_000, 8))
    scene.clock.advance(minutes=2)
    job = BackupJob(scene.source, scene.schedule, to_others(place, 2), scene.clock)
    point = job.run(None, force=True, progress=QuietProgress()).point
    (key,) = scene.store.keys("packs/") - before
    scene.clock.advance(hours=1)
    place.writer.store_honest(noise(20_000, 79))
    found = verified(place)
    assert any(
        key in text and "no identity on this host opens it" in text for text in found.findings[point.id]
    )


def later_recipient(place: Place, number: int, *, retire: int) -> Keys:
    """Another recipient takes over; its keys."""
    objects = place.writer.repository.objects
    add_recipient(objects, parse_recipient(recipient(number)), place.scene.clock.now())
    retire_recipient(objects, recipient(retire), place.scene.clock.now())
    return all_keys(number)


def test_packs_of_retired_recipients_are_not_told() -> None:
    """The first packs open for the first identity only, and the same data is stored again for the second."""
    place = Place(encrypted=True, identity=True)
    place.scene.clock.advance(days=2)
    place.pruner = place.scene.held = later_recipient(place, 1, retire=0)
    for key in sorted(place.scene.store.keys("packs/")):
        place.scene.open().marks.mark(PackKey(key), "so that the next backup stores its data again")
    place.scene.backup()
    for key in sorted(place.scene.store.keys("packs/")):
        place.scene.open().marks.unmark(PackKey(key))
    assert sum(each.false_claims for each in place.prune(3)) == 0
    assert told(place) == []
    assert not [text for text in verified(place).notes if "no identity" in text]


def test_what_the_second_recipient_should_open_is_told() -> None:
    place = Place(encrypted=True, identity=True)
    place.scene.clock.advance(days=2)
    place.pruner = place.scene.held = later_recipient(place, 1, retire=0)
    place.scene.clock.advance(days=2)
    place.scene.source.write(b"own", noise(30_000, 9))
    place.scene.backup()
    rows = list(place.contents().values())[-1].rows
    assert len(rows)
    key = encrypt_to(place, 2)
    assert place.prune(1)[0].false_claims == 1
    assert key in told(place)[0]


def test_compaction_and_killed_writers_are_not_told() -> None:
    place = Place(encrypted=True, identity=True)
    points = place.scene.open().points.all()
    place.writer.store_honest(noise(20_000, 79))  # its writer died before the index
    place.scene.forget(points[0])
    place.scene.forget(points[1])
    assert sum(each.false_claims for each in place.prune(4)) == 0
    assert verified(place).passed
    assert told(place) == []
    assert prune(place.scene, place.pruner, DAY).false_claims == 0
