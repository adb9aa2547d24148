"""What is kept, and why; and what no plan can make retention remove."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup_platform.domain.keep.retention import Candidate, Decision, KeepRules, decide

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ZONES = ("UTC", "Europe/Berlin", "Pacific/Auckland")


def point(number: int, start: datetime, **more: object) -> Candidate:
    stored = start + timedelta(minutes=20)
    return replace(Candidate(f"p{number}", number, start.isoformat(), start, stored), **more)  # type: ignore[arg-type]


def series(count: int, step: timedelta, end: datetime = NOW - HOUR) -> list[Candidate]:
    """Points that end just before now, oldest first."""
    return [point(number, end - step * (count - number)) for number in range(1, count + 1)]


def kept(decisions: list[Decision]) -> list[str]:
    return [each.id for each in decisions if each.keep]


def test_without_rules_everything_is_kept() -> None:
    assert len(kept(decide(None, series(9, DAY), NOW, "UTC"))) == 9


def test_each_kind_of_bucket_keeps_its_newest() -> None:
    hours = series(100, HOUR)
    assert kept(decide(KeepRules(hourly=3), hours, NOW, "UTC")) == ["p98", "p99", "p100"]
    days = kept(decide(KeepRules(daily=3), hours, NOW, "UTC"))
    assert days == ["p64", "p88", "p100"]  # 23:00 of the two days before, and the newest
    months = series(400, DAY)
    assert len(kept(decide(KeepRules(monthly=12), months, NOW, "UTC"))) == 12
    assert len(kept(decide(KeepRules(yearly=9), months, NOW, "UTC"))) == 2
    assert len(kept(decide(KeepRules(weekly=5), months, NOW, "UTC"))) == 5


def test_days_are_those_of_the_time_zone() -> None:
    hours = series(48, HOUR)
    utc, auckland = (
        kept(decide(KeepRules(daily=2), hours, NOW, zone)) for zone in ("UTC", "Pacific/Auckland")
    )
    assert utc != auckland


def test_an_hour_that_comes_twice_is_two() -> None:
    first = datetime(2026, 10, 25, 0, tzinfo=UTC)  # 02:00 summer time, then 02:00 again
    points = [point(1, first), point(2, first + HOUR)]
    assert len(kept(decide(KeepRules(hourly=2), points, NOW, "Europe/Berlin"))) == 2


def test_within_reaches_back_from_the_newest_point() -> None:
    long_ago = series(10, DAY, end=NOW - 300 * DAY)
    assert kept(decide(KeepRules(within=3 * DAY), long_ago, NOW, "UTC")) == ["p8", "p9", "p10"]


def test_gaps_do_not_use_up_buckets() -> None:
    points = [point(1, NOW - 90 * DAY), point(2, NOW - 50 * DAY), point(3, NOW - DAY)]
    assert len(kept(decide(KeepRules(daily=3), points, NOW, "UTC"))) == 3


def test_a_hold_keeps_and_tells_its_reason() -> None:
    points = [replace(each, held="audit 7" if each.id == "p1" else "") for each in series(9, DAY)]
    [first, *_] = decide(KeepRules(last=1), points, NOW, "UTC")
    assert first == Decision("p1", True, ("held: audit 7",))


def test_a_point_whose_proofs_cannot_be_read_stays_and_takes_no_proven_ones_place() -> None:
    points = series(9, DAY)
    points[4] = replace(points[4], proven=True)
    points[6] = replace(points[6], doubt="a proof of it is damaged")
    assert kept(decide(KeepRules(last=1), points, NOW, "UTC")) == ["p5", "p7", "p9"]


def test_the_newest_proven_point_stays_behind_newer_unproven_ones() -> None:
    points = [replace(each, proven=each.id == "p2") for each in series(9, DAY)]
    assert kept(decide(KeepRules(last=2), points, NOW, "UTC")) == ["p2", "p8", "p9"]


def test_where_nothing_is_drilled_the_newest_verified_point_stays() -> None:
    points = [replace(each, verified=each.id in ("p2", "p5")) for each in series(9, DAY)]
    assert kept(decide(KeepRules(last=1), points, NOW, "UTC")) == ["p5", "p9"]


def test_an_incomplete_point_takes_no_place() -> None:
    points = [replace(each, complete=each.id != "p9") for each in series(9, DAY)]
    decisions = decide(KeepRules(last=1), points, NOW, "UTC")
    assert kept(decisions) == ["p8", "p9"]
    assert decisions[-1].reasons == ("the last of its chain",)
    points.append(point(10, NOW - HOUR / 2))
    assert decide(KeepRules(last=1), points, NOW, "UTC")[-2] == Decision("p9", False, ("incomplete",))


@pytest.mark.parametrize("rules", [KeepRules(daily=7), KeepRules(within=7 * DAY), KeepRules(last=7)])
def test_a_source_whose_points_are_all_incomplete_is_kept_by_the_rules(rules: KeepRules) -> None:
    points = [replace(each, complete=False) for each in series(9, DAY)]
    assert kept(decide(rules, points, NOW, "UTC")) == [f"p{number}" for number in range(3, 10)]


def test_a_complete_point_evicts_no_incomplete_one_of_another_day() -> None:
    points = [replace(each, complete=each.id == "p9") for each in series(9, DAY)]
    decisions = decide(KeepRules(daily=7), points, NOW, "UTC")
    assert kept(decisions) == [f"p{number}" for number in range(3, 10)]
    assert decisions[7].reasons == ("newest of day 2 of 7, incomplete",)


def test_incomplete_points_alone_are_not_all_removed() -> None:
    points = [replace(each, complete=False) for each in series(4, DAY)]
    assert kept(decide(KeepRules(last=1), points, NOW, "UTC")) == ["p4"]


def test_of_a_window_that_was_captured_anew_the_newer_point_stays() -> None:
    [old] = series(1, DAY)
    new = replace(old, id="new", sequence=2)
    decisions = decide(KeepRules(daily=7), [old, new], NOW, "UTC")
    assert kept(decisions) == ["new"]
    assert decisions[0].reasons == ("its window has a newer point",)


def test_the_old_point_of_a_window_stays_while_it_is_the_newest_proven_one() -> None:
    [old] = series(1, DAY)
    points = [replace(old, proven=True), replace(old, id="new", sequence=2)]
    assert kept(decide(KeepRules(daily=7), points, NOW, "UTC")) == ["p1", "new"]


@pytest.mark.parametrize("years", [1, 50])
def test_a_point_from_the_future_evicts_nobody(years: int) -> None:
    real = series(9, DAY)
    strange = point(99, NOW + years * 365 * DAY, proven=True)
    rules = KeepRules(last=2, daily=2, within=2 * DAY)
    alone, together = decide(rules, real, NOW, "UTC"), decide(rules, [*real, strange], NOW, "UTC")
    assert together[:-1] == alone
    assert together[-1].keep


def test_a_window_after_the_moment_of_storing_is_not_believed() -> None:
    """The writer's clock was a day ahead: the store's tells."""
    ahead = point(99, NOW - HOUR, stored_at=NOW - 25 * HOUR)
    [*_, decision] = decide(KeepRules(last=1), [*series(3, DAY), ahead], NOW, "UTC")
    assert decision.reasons == ("its window starts in the future: not counted",)


def test_the_last_of_the_chain_stays_although_its_window_is_old() -> None:
    """Its number would be given to another point."""
    points = [*series(9, DAY), point(10, NOW - 90 * DAY)]
    assert kept(decide(KeepRules(last=2), points, NOW, "UTC")) == ["p8", "p9", "p10"]


def test_points_of_windows_long_gone_evict_nobody() -> None:
    """Somebody who may write, and wants the real ones gone: one forged point at the end of every day."""
    real = series(30, DAY)
    forged = [
        replace(point(100 + n, each.start + 10 * HOUR, proven=True), late=True) for n, each in enumerate(real)
    ]
    superseding = [replace(each, id=f"s{n}", sequence=200 + n, late=True) for n, each in enumerate(real)]
    rules = KeepRules(daily=7, weekly=3, last=4, within=5 * DAY)
    alone = kept(decide(rules, real, NOW, "UTC"))
    together = kept(decide(rules, [*real, *forged, *superseding], NOW, "UTC"))
    assert set(alone) <= set(together)


def test_where_all_are_late_they_are_judged_as_any_others() -> None:
    """As in a copy of a repository that was made in one go."""
    points = [replace(each, late=True) for each in series(30, DAY)]
    assert kept(decide(KeepRules(daily=7), points, NOW, "UTC")) == kept(
        decide(KeepRules(daily=7), series(30, DAY), NOW, "UTC")
    )


counts = st.integers(0, 4)
rule_sets = st.builds(
    KeepRules,
    hourly=counts,
    daily=counts,
    weekly=counts,
    monthly=counts,
    yearly=counts,
    last=counts,
    within=st.none() | st.timedeltas(timedelta(0), 40 * DAY),
    min_points=counts,
    min_proven=counts,
)


@st.composite
def histories(draw: st.DrawFn) -> list[Candidate]:
    hours = draw(st.lists(st.integers(-30, 3_000), min_size=1, max_size=40))
    return [
        point(
            number,
            NOW - hour * HOUR,
            complete=draw(st.booleans()),
            proven=draw(st.booleans()),
            verified=draw(st.booleans()),
            held=draw(st.sampled_from(["", "", "", "case 1"])),
            late=draw(st.sampled_from([False, False, True])),
            suspect=draw(st.sampled_from([False, False, True])),
        )
        for number, hour in enumerate(hours, 1)
    ]


def newest(points: list[Candidate]) -> str | None:
    return max(points, key=lambda each: (each.start, each.sequence)).id if points else None


@given(rule_sets, histories(), st.sampled_from(ZONES))
def test_no_plan_removes_what_must_stay(rules: KeepRules, points: list[Candidate], zone: str) -> None:
    decisions = decide(rules, points, NOW, zone)
    remaining = set(kept(decisions))
    assert [each.id for each in decisions] == [each.id for each in points]
    assert remaining
    assert {each.id for each in points if each.held} <= remaining
    real = [each for each in points if each.start <= NOW and each.complete and not each.suspect]
    proven, verified = ([p for p in real if getattr(p, name)] for name in ("proven", "verified"))
    assert {newest(real), newest(proven), newest(verified)} - {None} <= remaining
    assert max(points, key=lambda each: each.sequence).id in remaining


@given(rule_sets, histories(), st.sampled_from(ZONES))
def test_late_points_evict_none_that_came_in_time(
    rules: KeepRules, points: list[Candidate], zone: str
) -> None:
    in_time = [each for each in points if not each.late]
    alone = kept(decide(rules, in_time, NOW, zone)) if in_time else []
    last = in_time[-1].id if in_time else ""  # kept for its number alone, which a later one has now
    assert set(alone) - {last} <= set(kept(decide(rules, points, NOW, zone)))


@given(rule_sets, histories(), st.sampled_from(ZONES))
def test_suspect_points_evict_none_that_are_not(rules: KeepRules, points: list[Candidate], zone: str) -> None:
    sound = [each for each in points if not each.suspect]
    alone = kept(decide(rules, sound, NOW, zone)) if sound else []
    last = sound[-1].id if sound else ""  # kept for its number alone, which a later one has now
    assert set(alone) - {last} <= set(kept(decide(rules, points, NOW, zone)))


def test_a_source_that_was_emptied_keeps_what_it_had() -> None:
    """However long nobody looks, and however often the emptied source is drilled."""
    good = [replace(each, proven=True, verified=True) for each in series(3, DAY, NOW - 60 * DAY)]
    emptied = [
        replace(each, id=f"e{each.sequence}", sequence=100 + each.sequence, suspect=True, proven=True)
        for each in series(50, DAY)
    ]
    rules = KeepRules(last=2, min_proven=2)
    remaining = kept(decide(rules, [*good, *emptied], NOW, "UTC"))
    assert remaining == ["p2", "p3", "e49", "e50"]
    accepted = [*emptied[:-1], replace(emptied[-1], suspect=False)]
    assert kept(decide(rules, [*good, *accepted], NOW, "UTC")) == ["p3", "e49", "e50"]


@given(rule_sets, histories(), st.sampled_from(ZONES))
def test_what_was_kept_is_kept_again(rules: KeepRules, points: list[Candidate], zone: str) -> None:
    once = set(kept(decide(rules, points, NOW, zone)))
    rest = [each for each in points if each.id in once]
    assert set(kept(decide(rules, rest, NOW, zone))) == once


@given(rule_sets, histories(), st.sampled_from(["hourly", "daily", "weekly", "monthly", "yearly", "last"]))
def test_a_larger_rule_keeps_no_less(rules: KeepRules, points: list[Candidate], name: str) -> None:
    larger = replace(rules, **{name: getattr(rules, name) + 2})
    assert set(kept(decide(rules, points, NOW, "UTC"))) <= set(kept(decide(larger, points, NOW, "UTC")))
