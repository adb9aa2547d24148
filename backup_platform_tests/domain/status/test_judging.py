"""How a source is judged, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backup_platform.advice import Command, written
from backup_platform.advice import advice as pieces
from backup_platform.domain.keep.copies import CopyRule, Holding, judge_copies
from backup_platform.domain.model import Proof, ProofMethod, Window
from backup_platform.domain.status.evidence import SourceEvidence
from backup_platform.domain.status.judging import growth, judge_source
from backup_platform.domain.status.objectives import DrillRun, restore_time
from backup_platform.domain.status.outline import PointOutline
from backup_platform.domain.status.values import PlanStatus, RepositoryStatus, by_urgency
from backup_platform.domain.status.words import (
    RepositoryFinding,
    RepositoryState,
    SourceFinding,
    SourceState,
)
from backup_platform.domain.windows.health import MissedWindows

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
NOTHING = MissedWindows(None, (), ())


def window(day: int) -> Window:
    start = datetime(2026, 11, day, tzinfo=UTC)
    return Window(f"{start:%Y-%m-%d}", start, start + DAY)


def point(day: int, **changes: Any) -> PointOutline:
    at = datetime(2026, 11, day, 2, tzinfo=UTC)
    made = PointOutline(
        id=f"{day:02d}".ljust(64, "a"),
        sequence=day,
        source="shop",
        kind="files",
        window=window(day),
        timezone="UTC",
        captured_at=at,
        committed_at=at,
        incomplete=False,
        suspect=(),
        source_bytes=1_000_000_000 + day * 1_000_000,
        new_bytes=1,
        stored_bytes=1,
        duration_s=60.0,
        stored_at=at,
    )
    return replace(made, **changes)


def drilled(*days: int, passed: bool = True) -> dict[str, list[Proof]]:
    return {
        point(day).id: [Proof(point(day).id, ProofMethod.DRILL, passed, point(day).committed_at, 1.0)]
        for day in days
    }


def known(points: Sequence[PointOutline], proofs: dict[str, list[Proof]], **changes: Any) -> SourceEvidence:
    evidence = SourceEvidence("shop", NOW, points, NOTHING, proofs=lambda each: proofs.get(each, []))
    return replace(evidence, **changes)


GOOD = known([point(21), point(22)], drilled(21, 22), rpo=timedelta(hours=26), rto=timedelta(hours=1))


def found(evidence: SourceEvidence) -> tuple[list[SourceState], str, list[tuple[str, ...]]]:
    """States, the first text, and the commands of the first advice."""
    findings = judge_source(evidence).findings
    hint = pieces(findings[0].advice) if findings else ()
    commands = [each.words for each in hint if isinstance(each, Command)]
    return [each.state for each in findings], findings[0].text if findings else "", commands


def test_what_is_backed_up_proven_and_in_time_is_fine() -> None:
    status = judge_source(GOOD)
    assert status.state is SourceState.FINE
    assert status.rpo.measured == timedelta(hours=10)
    assert (status.last, status.proven) == (point(22), point(22))


def test_what_never_ran_is_red_and_not_silent() -> None:
    awaited = replace(NOTHING, awaited=window(22))
    states, text, commands = found(known([], {}, missed=awaited))
    assert states == [SourceState.NEVER]
    assert states[0].is_bad
    assert "2026-11-22" in text
    assert commands == [("backup", "shop")]


def test_what_cannot_be_read_is_not_taken_for_never_backed_up() -> None:
    states, text, _ = found(known([], {}, missed=None, unreadable=("the manifest x is altered",)))
    assert states == [SourceState.UNKNOWN]
    assert "x is altered" in text


@pytest.mark.parametrize(
    ("late", "missed", "text"),
    [
        ((window(21),), (), "no recovery point for 2026-11-21, which can still be backed up"),
        (
            (),
            (window(20), window(21)),
            "2 windows were missed since the last point: 2026-11-20 to 2026-11-21",
        ),
    ],
)
def test_a_window_that_is_due_is_overdue(
    late: tuple[Window, ...], missed: tuple[Window, ...], text: str
) -> None:
    evidence = replace(GOOD, points=[point(19)], missed=MissedWindows(None, late, missed), rpo=None)
    findings = [each for each in judge_source(evidence).findings if each.state is SourceState.OVERDUE]
    assert [each.text for each in findings] == [text]
    assert "`backup-platform backup shop`" in written(findings[0].advice)


def test_a_backup_that_takes_its_usual_time_is_not_overdue() -> None:
    due = MissedWindows(window(22), (), ())
    slow = [point(20, duration_s=3600.0), point(21, duration_s=3600.0)]
    evidence = known(slow, drilled(20, 21), missed=due, due_since=NOW - timedelta(hours=1.9))
    assert judge_source(evidence).state is SourceState.FINE
    evidence = replace(evidence, due_since=NOW - timedelta(hours=2.1))
    assert judge_source(evidence).state is SourceState.OVERDUE


def test_data_older_than_the_objective_is_overdue_whatever_the_schedule_says() -> None:
    states, text, commands = found(replace(GOOD, rpo=timedelta(hours=9)))
    assert states == [SourceState.OVERDUE]
    assert "10 h ago; `rpo` is 9 h" in text
    assert commands == [("backup", "shop")]


def test_a_clock_that_was_ahead_makes_no_data_younger() -> None:
    ahead = point(20, captured_at=NOW + timedelta(days=9))
    assert judge_source(known([ahead], {})).rpo.measured == NOW - point(20).captured_at


def test_an_incomplete_or_suspect_point_does_not_count_for_the_objective() -> None:
    points = [point(20), point(21, incomplete=True), point(22, suspect=("it is empty",))]
    states, _, _ = found(replace(GOOD, points=points, proofs=lambda each: drilled(20).get(each, [])))
    assert states == [SourceState.OVERDUE, SourceState.SUSPECT, SourceState.INCOMPLETE]
    status = judge_source(replace(GOOD, points=points))
    assert status.last == point(20)
    told = {each.state: written(each.advice) for each in status.findings}
    assert f"accept {points[2].id[:12]} --reason TEXT" in told[SourceState.SUSPECT]
    assert "backup shop --force" in told[SourceState.SUSPECT]
    assert "show shop@2026-11-21" in told[SourceState.INCOMPLETE]


def test_an_accepted_point_counts() -> None:
    points = [point(21), point(22, suspect=("it is empty",), accepted="emptied on purpose")]
    assert judge_source(replace(GOOD, points=points)).state is SourceState.FINE


def test_a_difference_is_worse_than_being_late() -> None:
    proofs = drilled(21) | drilled(22, passed=False)
    evidence = replace(
        GOOD, proofs=lambda each: proofs.get(each, []), failed=[point(22)], rpo=timedelta(hours=9)
    )
    states, text, commands = found(evidence)
    assert states[:2] == [SourceState.FAILED, SourceState.OVERDUE]
    assert "shop@2026-11-22" in text
    assert commands == [("show", point(22).id[:12]), ("repair",)]


class TestProof:
    def test_what_was_never_drilled_is_unproven(self) -> None:
        states, text, commands = found(known([point(22)], {}))
        assert states == [SourceState.UNPROVEN]
        assert "no drill" in text
        assert commands == [("drill", "shop@latest")]

    def test_a_host_that_cannot_drill_is_not_told_to(self) -> None:
        hint = written(judge_source(known([point(22)], {}, can_drill=False)).findings[0].advice)
        assert "on a host that has an identity" in hint
        assert "drill shop" not in hint

    def test_the_plan_may_want_none(self) -> None:
        assert judge_source(known([point(22)], {}, drill="never")).state is SourceState.FINE
        states, text, _ = found(known([point(22)], {}, drill="never", rto=DAY))
        assert states == [SourceState.UNPROVEN]
        assert "`rto` is not measured" in text

    @pytest.mark.parametrize(
        ("policy", "proven", "fine"),
        [
            ("window", 20, True),
            ("window", 19, False),
            ("daily", 20, True),
            ("daily", 19, False),
            ("weekly", 8, True),
            ("weekly", 7, False),
        ],
    )
    def test_an_old_proof_is_none(self, policy: str, proven: int, fine: bool) -> None:
        points = [point(day) for day in range(1, 23)]
        state = judge_source(known(points, drilled(proven), drill=policy)).state
        assert state is (SourceState.FINE if fine else SourceState.UNPROVEN)


class TestRestoreTime:
    def test_it_is_predicted_for_the_present_size_by_earlier_drills(self) -> None:
        drills = [DrillRun(NOW - day * DAY, 100.0 + day, 1_000_000_000) for day in range(3)]
        assert restore_time(drills, 101) == timedelta(seconds=100)
        found = restore_time(drills, 36_000_000_000)
        assert found
        assert 3600 < found.total_seconds() < 3700

    def test_only_the_last_drills_count(self) -> None:
        drills = [DrillRun(NOW - day * DAY, 10.0 if day < 5 else 1e6, 1_000) for day in range(50)]
        assert restore_time(drills, 1_000) == timedelta(seconds=10)

    def test_a_drill_of_nothing_tells_how_long_a_start_takes(self) -> None:
        assert restore_time([DrillRun(NOW, 5.0, 0)], 10**12) == timedelta(seconds=5)
        assert restore_time([], 10) is None

    def test_an_objective_that_is_not_kept_is_told(self) -> None:
        drills = [DrillRun(NOW, 7_200.0, point(22).source_bytes)]
        states, text, _ = found(replace(GOOD, drills=drills))
        assert states == [SourceState.SLOW]
        assert "takes 2 h, by its drills; `rto` is 1 h" in text


def test_a_point_in_too_few_places_is_uncopied_with_the_command_that_copies_it() -> None:
    rule = CopyRule(number=2, places=2, within=timedelta(hours=5))
    holdings = [Holding("main", "here", True), Holding("offsite", "there", False)]
    copies = judge_copies(rule, holdings, point(22).committed_at, NOW)
    evidence = replace(GOOD, copies=copies, repositories=["main", "offsite"])
    states, text, _ = found(evidence)
    assert states == [SourceState.UNCOPIED]
    assert "is in main only" in text
    hint = written(judge_source(evidence).findings[0].advice)
    assert "backup-platform --repository main copy shop --to offsite" in hint
    soon = judge_copies(rule, holdings, point(22).committed_at, point(22).committed_at + timedelta(hours=1))
    assert judge_source(replace(evidence, copies=soon)).state is SourceState.FINE


def test_windows_that_were_missed_lately_are_told_and_wake_nobody() -> None:
    missed = replace(NOTHING, missed=(window(1), window(20)))
    status = judge_source(replace(GOOD, missed=missed))
    assert status.state is SourceState.MISSED
    assert not status.state.is_bad
    assert "1 window was missed within 7 days: 2026-11-20" in status.findings[0].text
    assert judge_source(replace(GOOD, missed=replace(NOTHING, missed=(window(1),)))).state is SourceState.FINE


def test_growth_is_that_of_a_week_so_that_a_quiet_weekend_does_not_count() -> None:
    points = [point(day, source_bytes=(day - day // 7 * 2) * 1_000) for day in range(1, 23)]
    per_day = growth(points)
    assert per_day == pytest.approx(5_000 / 7)
    assert growth(points[:1]) is None
    assert growth([]) is None


class TestWhole:
    def test_the_worst_comes_first_and_the_oldest_of_these(self) -> None:
        never = replace(judge_source(known([], {})), source="new")
        late = [
            replace(
                judge_source(replace(GOOD, points=[point(day)], drill="never", rto=None)), source=f"s{day}"
            )
            for day in (20, 19)
        ]
        ordered = by_urgency([judge_source(GOOD), *late, never])
        assert [each.source for each in ordered] == ["new", "s19", "s20", "shop"]
        assert [each.state.value for each in ordered] == ["never", "overdue", "overdue", "fine"]

    def test_it_is_fine_when_nobody_has_to_act(self) -> None:
        fine, main = judge_source(GOOD), RepositoryStatus("main", "/backups")
        assert PlanStatus(NOW, (fine,), (main,)).is_fine
        away = replace(main, findings=(RepositoryFinding(RepositoryState.AWAY, "away"),))
        unread = replace(main, findings=(RepositoryFinding(RepositoryState.UNREAD, "unread"),))
        assert not PlanStatus(NOW, (fine,), (away,)).is_fine
        assert PlanStatus(NOW, (fine,), (unread,)).is_fine
        assert not PlanStatus(NOW, (fine,), (main,), ("the database hr is in no source",)).is_fine
        bad = replace(fine, findings=(SourceFinding(SourceState.SLOW, "slow"),))
        assert not PlanStatus(NOW, (bad,), (main,)).is_fine
