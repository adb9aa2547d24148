"""A backup builds on what its host can answer for. The rest is counted, and read first where somebody can read it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from backup_platform.actions.backup.run import BackupJob
from backup_platform.actions.checks.points import drill_check, stored
from backup_platform.actions.drill import DrillResult, drill
from backup_platform.actions.verify.read_cycle import ReadCycle
from backup_platform.actions.verify.run import ReadShare, VerifyResult, verify, verify_due
from backup_platform.actions.verify.trusted import unvouched_of
from backup_platform.domain.model import Proof, ProofMethod, RecoveryPoint, Window
from backup_platform.domain.ports import DrillReport, PointReader, Progress, Sandbox
from backup_platform.domain.windows.health import DrillPolicy
from backup_platform.repository import session
from backup_platform.repository.encryption.key_files import Keys
from backup_platform.repository.objects.names import ObjectId
from backup_platform.repository.packs.known import Known, OwnPoint
from backup_platform.repository.repository import Repository
from backup_platform_tests.repository.poisoning import describe_falsely, lie
from backup_platform_tests.support import (
    START,
    Bench,
    QuietProgress,
    ScriptedSource,
    all_keys,
    content_of,
    noise,
    reader_keys,
    text,
    writer_keys,
)

VENDOR = noise(90_000, 7)  # a file that others have, too
OWN = OwnPoint(
    "ef" * 32,
    "ab" * 16,
    7,
    Window("2026-11-22", START, START + timedelta(days=1)),
    START + timedelta(hours=1),
)
NOTHING_OF_IT = ReadShare(1 << 31, 1)  # a share that no pack is in


def host(root: Path, keys: Keys | None = None, *, source: str = "docs") -> Bench:
    """One host of several that write to an encrypted repository, or with empty keys to an unencrypted one."""
    made = Bench(root, encrypted=keys is None or bool(keys))
    made.held, made.source.name = writer_keys() if keys is None else keys, source
    return made


def other(bench: Bench, source: str = "other") -> Bench:
    """Another host: its memory is its own, the time is the same."""
    made = host(bench.root, bench.held, source=source)
    made.clock = made.source.clock = bench.clock
    return made


def reader(bench: Bench) -> Repository:
    """The repository on a host that restores."""
    return Repository(bench.store, bench.clock, keys=reader_keys() if bench.encrypted else Keys())


def verified(bench: Bench, repository: Repository, share: ReadShare = NOTHING_OF_IT) -> VerifyResult:
    return verify(repository, repository.points.all(), share, bench.clock, QuietProgress())


@pytest.fixture
def victim(tmp_path: Path) -> Bench:
    """A writer without an identity, of a file that a hostile writer knows."""
    bench = host(tmp_path / "repository")
    bench.source.write(b"vendor-package.bin", VENDOR)
    bench.source.write(b"private", text(2_000, 1))
    return bench


def test_a_lie_that_a_writer_deduplicates_against_is_counted_and_found_first(victim: Bench) -> None:
    pack = lie(victim.open(), VENDOR)
    point = victim.backup()
    assert (point.stats.new_bytes, unvouched_of(victim.open(), point)) == (2_000, len(VENDOR))
    assert point.unvouched is not None
    assert [each.pack for each in point.unvouched.packs] == [pack[-64:]]
    assert victim.open().points.all() == [point], "it is in the manifest"
    assert verified(victim, victim.open(), ReadShare()).passed, "it has the hash of its name"
    assert unvouched_of(victim.open(), point) == len(VENDOR)
    result = verified(victim, reader(victim))
    assert (result.packs_read, list(result.findings)) == (1, [point.id])
    assert content_of(reader(victim), victim.backup())[b"vendor-package.bin"] == VENDOR


@pytest.mark.parametrize("keys", [all_keys(), Keys()], ids=["identity", "unencrypted"])
def test_who_can_read_contents_builds_on_no_lie(tmp_path: Path, keys: Keys) -> None:
    bench = host(tmp_path, keys)
    bench.source.write(b"vendor-package.bin", VENDOR)
    pack = lie(bench.open(), VENDOR)
    point = bench.backup()
    assert (point.stats.new_bytes, point.unvouched and point.unvouched.size) == (len(VENDOR), 0)
    assert bench.open().marks.damaged() == {pack}
    assert bench.content(point) == bench.source.files


@pytest.mark.parametrize("keys", [all_keys(), Keys()], ids=["identity", "unencrypted"])
def test_a_false_index_of_a_sound_pack_of_others_is_not_believed_by_who_reads_it(
    tmp_path: Path, keys: Keys
) -> None:
    foreign = host(tmp_path, keys, source="other")
    foreign.source.write(b"spare", noise(90_000, 2))
    foreign.backup()
    (pack,) = foreign.keys("packs/")
    false = describe_falsely(foreign.open(), pack, VENDOR)
    for key in foreign.keys("indexes/") - {false}:
        foreign.store.delete(key)  # the writer of the pack never wrote another one
    bench = other(foreign, "docs")
    bench.source.write(b"vendor-package.bin", VENDOR)
    point = bench.backup()
    assert (point.stats.new_bytes, point.unvouched and point.unvouched.size) == (len(VENDOR), 0)
    assert pack not in bench.open().marks.damaged(), "it is sound"


@pytest.mark.parametrize(
    "keys", [all_keys(), writer_keys(), Keys()], ids=["identity", "writer", "unencrypted"]
)
def test_a_false_index_of_an_own_pack_is_not_believed(tmp_path: Path, keys: Keys) -> None:
    """The pack is honest and this host wrote it, so its name alone vouches for nothing."""
    bench = host(tmp_path, keys)
    bench.source.files = {b"first": noise(30_000, 1), b"spare": noise(90_000, 2)}
    bench.source.modified = dict.fromkeys(bench.source.files, 0)
    first = bench.backup()
    (pack,) = bench.keys("packs/")
    index = describe_falsely(bench.open(), pack, VENDOR)
    bench.source.write(b"vendor-package.bin", VENDOR)
    point = bench.backup()
    assert (point.stats.new_bytes >= len(VENDOR), point.unvouched and point.unvouched.size) == (True, 0)
    bench.open().marks.mark(index, "as a verify finds that decodes the pack")
    assert content_of(reader(bench), point) == bench.source.files
    assert content_of(reader(bench), first)[b"first"] == noise(30_000, 1)


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
def test_a_verify_that_decodes_finds_a_false_index_and_nobody_believes_it_any_more(
    tmp_path: Path, encrypted: bool
) -> None:
    bench = host(tmp_path, writer_keys() if encrypted else Keys())
    bench.source.files = {b"first": noise(30_000, 1), b"spare": noise(90_000, 2)}
    bench.source.modified = dict.fromkeys(bench.source.files, 0)
    point = bench.backup()
    (pack,) = bench.keys("packs/")
    index = describe_falsely(bench.open(), pack, VENDOR)
    result = verified(bench, reader(bench), ReadShare())
    assert any("contents that the pack" in text and pack in text for text in result.findings[point.id])
    assert index in bench.open().marks.damaged()
    assert verified(bench, reader(bench), ReadShare()).passed
    assert unvouched_of(bench.open(), point) == 0
    victim = other(bench)
    victim.source.write(b"vendor-package.bin", VENDOR)
    victim.held = writer_keys() if encrypted else Keys()
    assert victim.backup().stats.new_bytes == len(VENDOR)


def test_what_another_host_wrote_is_vouched_for_by_who_reads_it(victim: Bench) -> None:
    foreign = other(victim)
    foreign.source.write(b"theirs", VENDOR)
    foreign.backup()
    point = victim.backup()
    manifest = (victim.root / victim.open().points.key(point)).read_bytes()
    assert unvouched_of(victim.open(), point) == len(VENDOR)
    verified(victim, victim.open(), ReadShare())
    assert unvouched_of(victim.open(), point) == len(VENDOR), "nobody has decoded it"
    assert verified(victim, reader(victim), ReadShare(cycle=0)).packs_read == 0
    assert verified(victim, reader(victim)).packs_read == 1
    assert unvouched_of(victim.open(), point) == 0
    assert (victim.root / victim.open().points.key(point)).read_bytes() == manifest
    assert verified(victim, reader(victim)).packs_read == 0
    later = victim.backup()
    assert later.unvouched is not None
    assert later.unvouched.size == 0, "the ledger says that the pack was decoded"


def test_the_rotation_of_reading_begins_with_it(victim: Bench) -> None:
    foreign = other(victim)
    foreign.source.write(b"theirs", VENDOR)
    foreign.backup()
    point = victim.backup()
    cycle = ReadCycle(reader(victim), timedelta(days=30), victim.clock)
    result = verify_due(cycle, [point], QuietProgress())
    assert (result.packs_read, unvouched_of(victim.open(), point)) == (1, 0)


def test_the_check_stored_tells_and_reads_it(victim: Bench) -> None:
    foreign = other(victim)
    foreign.source.write(b"theirs", VENDOR)
    foreign.backup()
    point = victim.backup()
    for repository, expected in ((victim.open(), len(VENDOR)), (reader(victim), 0), (victim.open(), 0)):
        check = stored(repository, point, NOTHING_OF_IT, victim.clock, QuietProgress())
        assert check.metadata["unvouched_bytes"] == expected


def test_what_this_host_wrote_or_read_is_vouched_for(victim: Bench, tmp_path: Path) -> None:
    victim.known = Known(str(tmp_path / "state" / "known"))
    victim.backup()
    victim.known = Known(str(tmp_path / "state" / "known"))
    again = victim.backup()
    assert again.unvouched is not None
    assert again.unvouched.size == 0
    victim.known = Known()
    forgotten = victim.backup()
    assert unvouched_of(victim.open(), forgotten) == forgotten.stats.source_bytes
    assert (tmp_path / "state" / "known").stat().st_mode & 0o077 == 0


def test_more_packs_than_are_named_are_read_all_the_same(
    victim: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "LISTED", 1)
    foreign = other(victim)
    for number in range(3):
        foreign.source.write(b"part%d" % number, noise(20_000, number))
        victim.source.write(b"part%d" % number, noise(20_000, number))
        foreign.backup()
    point = victim.backup()
    assert unvouched_of(victim.open(), point) == 60_000
    verified(victim, reader(victim))
    assert unvouched_of(victim.open(), point) == 0


def test_of_an_older_point_nothing_is_known_until_all_of_it_is_read(victim: Bench) -> None:
    point = victim.backup()
    repository = victim.open()
    old = repository.points.commit(replace(point, sequence=2, predecessor=point.id, unvouched=None))
    assert unvouched_of(victim.open(), old) is None
    verified(victim, victim.open(), ReadShare())
    assert unvouched_of(victim.open(), old) is None
    verified(victim, reader(victim), ReadShare())
    assert unvouched_of(victim.open(), old) == 0


@pytest.mark.parametrize("policy", ["daily", "weekly", "never"])
def test_a_drill_is_due_for_a_point_that_takes_something_on_trust(victim: Bench, policy: DrillPolicy) -> None:
    before = victim.backup()
    victim.open().proofs.record(Proof(before.id, ProofMethod.DRILL, True, victim.clock.now(), 1.0))
    victim.known = Known()
    point = victim.backup()
    made: list[str] = []

    def run() -> DrillResult:
        made.append(point.id)
        return drill(reader(victim), Agreeing(victim.clock), point, victim.clock, QuietProgress())

    for _ in range(2):
        drill_check(reader(victim), point, policy, "UTC", run)
    assert made == ([] if policy == "never" else [point.id])
    assert (unvouched_of(victim.open(), point) == 0) == (policy != "never")
    drill_check(victim.open(), victim.backup(), policy, "UTC", run)
    assert len(made) < 2, "no identity, no drill"


class Agreeing(ScriptedSource):
    """Its drills pass."""

    def drill(
        self, point: RecoveryPoint, reader: PointReader, sandbox: Sandbox, progress: Progress
    ) -> DrillReport:
        return DrillReport({}, ())


def test_a_forged_point_does_not_stand_for_the_source(victim: Bench) -> None:
    """A writer that was taken over says in a point of its own what the victim's files hold."""
    victim.backup()
    victim.source.write(b"private", text(3_000, 2))
    forger = other(victim, "docs")
    forger.source.files = {path: data[::-1] for path, data in victim.source.files.items()}
    forger.source.modified = victim.source.modified
    job = BackupJob(forger.source, forger.schedule, forger.open(), victim.clock)
    victim.clock.advance(minutes=2)
    forged = job.run(None, force=True, progress=QuietProgress()).point
    point = victim.backup()
    assert point.predecessor == forged.id
    assert content_of(reader(victim), point) == victim.source.files


def test_a_forged_point_of_this_window_does_not_keep_the_host_from_its_backup(victim: Bench) -> None:
    victim.backup()
    victim.clock.advance(hours=1)
    forger = other(victim, "docs")
    forger.source.files, forger.source.modified = dict(victim.source.files), dict(victim.source.modified)
    forged = forger.backup()
    assert not forged.is_suspect
    assert victim.run(force=False).created
    assert not victim.run(force=False).created
    victim.known = Known()
    assert not victim.run(force=False).created, "a host that lost its state knows no better"
    assert forged.id in {point.id for point in victim.open().points.all()}


def test_a_note_that_was_cut_short_or_is_no_note_costs_only_what_it_held(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "known"
    known = Known(str(path))
    known.learn({ObjectId("ab" * 32): "cd" * 16})
    known.committed(OWN)
    path.write_text("\n" + path.read_text()[:-3] + "\n" + "pack no\n")
    assert (dict(Known(str(path)).packs), set(Known(str(path)).points)) == ({"ab" * 32: "cd" * 16}, set())
    path.write_bytes(b"\xff")
    assert dict(Known(str(path)).packs) == {}
    assert dict(Known(str(tmp_path)).packs) == {}


def test_packs_that_are_gone_are_forgotten_once_they_are_many(tmp_path: Path) -> None:
    path = tmp_path / "known"
    known = Known(str(path))
    packs = {ObjectId(f"{number:064x}"): "cd" * 16 for number in range(1_500)}
    known.learn(packs)
    known.committed(OWN)
    known.forget(list(packs)[:600])
    assert len(Known(str(path)).packs) == 1_500
    known.forget(list(packs)[:100])
    assert set(Known(str(path)).packs) == set(list(packs)[:100])
    assert set(Known(str(path)).points) == {"ef" * 32}
    assert Known(str(path), expects_points=True).own_points() == [OWN]


def test_a_point_of_which_an_older_version_noted_the_id_is_known(tmp_path: Path) -> None:
    path = tmp_path / "known"
    path.write_text(f"point {'ef' * 32}\npoint {'cd' * 32} x 1 no times at_all key .\n")
    known = Known(str(path), expects_points=True)
    assert (set(known.points), known.own_points()) == ({"ef" * 32, "cd" * 32}, [])
