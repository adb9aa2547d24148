"""Verify: nothing passes over what is missing, altered or not decodable, and what was proven is recorded."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup_platform.actions.structure import structure_findings
from backup_platform.actions.verify.run import ReadShare, VerifyResult, read_share, verify, window_share
from backup_platform.domain.model import ProofMethod, Window
from backup_platform.domain.windows.schedule import CADENCES, WindowSchedule
from backup_platform.errors import StoreError, UsageError
from backup_platform_tests.support import (
    Bench,
    Do,
    QuietProgress,
    ScriptedStore,
    noise,
    small_bench,
    tombstone,
)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return small_bench(tmp_path)


def run(bench: Bench, share: ReadShare | None = None, *, record: bool = True) -> VerifyResult:
    repository = bench.open()
    share = share or ReadShare()
    return verify(repository, repository.points.all(), share, bench.clock, QuietProgress(), record=record)


def several_packs(bench: Bench, count: int = 6) -> None:
    for n in range(count):
        bench.source.write(b"part%d" % n, noise(70_000, n))
        bench.backup()


def test_a_sound_repository_passes_and_every_point_gets_its_proof(bench: Bench) -> None:
    several_packs(bench, 3)
    repository = bench.open()
    points, progress = repository.points.all(), QuietProgress()
    result = verify(repository, points, ReadShare(), bench.clock, progress)
    packs = bench.keys("packs/") | bench.keys("meta/")
    assert result.passed
    assert (result.packs_needed, result.packs_read) == (len(packs), len(packs))
    assert result.bytes_read == sum((bench.root / key).stat().st_size for key in packs)
    assert progress.done == progress.expected == result.bytes_read
    for point in points:
        (proof,) = repository.proofs.by_point()[point.id]
        assert (proof.method, proof.passed, proof.at) == (ProofMethod.VERIFY, True, bench.clock.now())
        assert repository.proofs.details(point.id)[0].detail["packs_read"] == len(packs)


def test_damage_is_told_of_every_point_that_needs_it_and_of_no_other(bench: Bench) -> None:
    first = bench.backup()
    bench.source.write(b"new", noise(70_000, 1))
    bench.backup()
    before = bench.keys("packs/")
    bench.source.remove(b"new")
    bench.source.write(b"newer", noise(70_000, 2))
    third = bench.backup()
    (only_third,) = bench.keys("packs/") - before
    bench.damage(only_third)
    result = run(bench)
    assert result.findings.keys() == {third.id}
    assert only_third in result.findings[third.id][0]
    proofs = bench.open().proofs.by_point()
    assert not proofs[third.id][0].passed
    assert proofs[first.id][0].passed


def test_a_partial_verify_is_no_proof_unless_it_found_damage(bench: Bench) -> None:
    several_packs(bench)
    for share in (ReadShare(0), ReadShare(3, 0), ReadShare(3, 1)):
        assert run(bench, share).passed
    assert bench.open().proofs.by_point() == {}
    bench.damage(max(bench.keys("packs/")))
    for slot in range(3):
        run(bench, ReadShare(3, slot))
    assert {proof.passed for proofs in bench.open().proofs.by_point().values() for proof in proofs} == {False}


def test_it_can_be_asked_to_record_nothing(bench: Bench) -> None:
    bench.backup()
    run(bench, record=False)
    assert bench.open().proofs.by_point() == {}


def test_a_missing_pack_fails_although_no_contents_were_to_be_read(bench: Bench) -> None:
    point = bench.backup()
    for key in bench.keys("packs/"):
        (bench.root / key).unlink()
    result = run(bench, ReadShare(cycle=0))
    assert result.packs_read == len(bench.keys("meta/"))
    assert "no stored pack holds" in result.findings[point.id][0]


@pytest.mark.parametrize(
    ("length", "prefix", "encrypted"),
    [
        (0, "packs/", False),
        (-1, "packs/", True),
        (1, "packs/", True),
        (0, "meta/", True),
        (-1, "meta/", False),
    ],
)
@pytest.mark.parametrize("share", [ReadShare(0), ReadShare(1 << 40, 1)], ids=["none", "a share"])
def test_the_size_of_each_pack_is_compared_whatever_share_is_read(
    tmp_path: Path, share: ReadShare, length: int, prefix: str, encrypted: bool
) -> None:
    """A pack of another size is read then, so that it is marked, and the next backup stores its blobs again."""
    bench = Bench(tmp_path / "repository", encrypted=encrypted)
    bench.source.write(b"file", noise(70_000, 1))
    point = bench.backup()
    assert run(bench, share).passed
    (harmed,) = bench.keys(prefix)
    path, data = bench.root / harmed, (bench.root / harmed).read_bytes()
    path.write_bytes(data[:length] if length <= 0 else data + b"\n")
    result = run(bench, share)
    assert any(
        f"{harmed} has {len(data[:length]) if length <= 0 else len(data) + 1:,} bytes" in text
        for text in result.findings[point.id]
    )
    assert bench.open().marks.damaged() == {harmed}
    assert not bench.open().proofs.by_point()[point.id][-1].passed


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
def test_a_pack_of_another_size_is_not_built_on_before_any_verify(tmp_path: Path, encrypted: bool) -> None:
    bench = Bench(tmp_path / "repository", encrypted=encrypted)
    bench.source.write(b"file", noise(70_000, 1))
    first = bench.backup()
    (cut,) = bench.keys("packs/")
    (bench.root / cut).write_bytes((bench.root / cut).read_bytes()[:-1])
    (text,) = structure_findings(bench.open(), [first])
    assert cut in text
    second = bench.backup(force=False)
    assert second.id != first.id
    assert bench.content(second) == bench.content(first) == bench.source.files


def test_a_broken_chain_fails(bench: Bench) -> None:
    from dataclasses import replace

    first, second = bench.backup(), bench.backup()
    bench.backup()
    (bench.root / "manifests").joinpath(*_name(bench, 2)).unlink()
    repository = bench.open()
    repository.points.commit(replace(second, predecessor=first.id, lateness_s=77.0))
    result = run(bench)
    assert not result.passed
    assert "predecessor" in result.findings[""][0]


def _name(bench: Bench, sequence: int) -> tuple[str, ...]:
    from backup_platform.repository.objects.names import ManifestKey

    return tuple(ManifestKey.of("docs", sequence).split("/")[1:])


def test_a_store_that_does_not_answer_is_an_error_and_no_verdict(bench: Bench) -> None:
    bench.backup()
    broken = ScriptedStore(bench.store, lambda c: Do.FAIL if c.verb == "get" and "packs/" in c.key else None)
    repository = bench.open(broken)
    with pytest.raises(StoreError):
        verify(repository, repository.points.all(), ReadShare(), bench.clock, QuietProgress())
    assert bench.open().proofs.by_point() == {}
    assert bench.open().marks.damaged() == set()


def test_a_mark_on_a_sound_pack_is_taken_away(bench: Bench) -> None:
    bench.backup()
    repository = bench.open()
    for key in repository.objects.packs():
        repository.marks.mark(key, "for a test")
    assert structure_findings(repository, repository.points.all())
    assert run(bench).passed
    assert bench.open().marks.damaged() == set()


def test_structure_findings_name_what_is_missing_without_reading_contents(bench: Bench) -> None:
    bench.backup()
    store = ScriptedStore(bench.store)
    repository = bench.open(store)
    assert structure_findings(repository, repository.points.all()) == []
    assert not [call for call in store.calls if call.key.startswith("packs/") and call.verb != "list"]
    for key in bench.keys("packs/"):
        (bench.root / key).unlink()
    (text,) = structure_findings(repository, repository.points.all())
    assert "docs@" in text


def test_a_tombstone_does_not_fail_a_verify(bench: Bench) -> None:
    """The pack is there. Whether the point is to be kept is prune's business."""
    bench.backup()
    tombstone(bench, bench.keys("packs/"))
    assert run(bench).passed


# Shares


@pytest.mark.parametrize(
    ("text", "cycle"),
    [("all", 1), ("100%", 1), ("50%", 2), ("10%", 10), ("10 %", 10), ("0.5%", 200), ("none", 0)],
)
def test_shares(text: str, cycle: int) -> None:
    assert read_share(text, date(2026, 11, 22)).cycle == cycle


@pytest.mark.parametrize("text", ["", "some", "0%", "101%", "-1%", "10", "%", "1e1%", "nan%"])
def test_what_is_no_share(text: str) -> None:
    with pytest.raises(UsageError):
        read_share(text, date(2026, 11, 22))


KEYS = st.lists(
    st.binary(min_size=32, max_size=32).map(lambda b: f"packs/{b.hex()[:2]}/{b.hex()}"), max_size=30
)


@given(keys=KEYS, percent=st.integers(1, 100), day=st.dates(date(2000, 1, 1), date(2100, 1, 1)))
def test_consecutive_days_read_every_pack_once_per_cycle(keys: list[str], percent: int, day: date) -> None:
    cycle = read_share(f"{percent}%", day).cycle
    shares = [read_share(f"{percent}%", day + timedelta(days=n)) for n in range(cycle)]
    for key in keys:
        assert sum(key in share for share in shares) == 1


@pytest.mark.parametrize("cadence", ["15min", "hour", "day", "week"])
def test_consecutive_windows_read_every_pack_once_per_cycle(cadence: str) -> None:
    schedule = WindowSchedule(CADENCES[cadence], since=datetime(2026, 1, 1, tzinfo=UTC))
    start = datetime(2026, 11, 20, tzinfo=UTC)
    windows: list[Window] = list(schedule.windows(start, start + timedelta(weeks=20)))[:10]
    keys = [f"packs/00/{n:064x}" for n in range(40)]
    for key in keys:
        assert sum(key in window_share("10%", window) for window in windows) == 1


def test_none_reads_nothing_and_all_everything() -> None:
    day = date(2026, 11, 22)
    assert "packs/00/" + "0" * 64 not in read_share("none", day)
    assert "packs/00/" + "f" * 64 in read_share("all", day)
