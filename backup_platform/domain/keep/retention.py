"""Which recovery points of a source to keep, and why. Standard library only, no side effects.

Buckets (hours, days ...) are in the source's time zone. As in restic's `forget`, the newest point of each of the newest
N buckets that have points is kept. So a source that was not backed up for a while keeps its points.

A point counts by the start of its window, never by the time that its writer claims. Two kinds of points may be forged:
those that were stored long after their window, and those whose window is not in the plan's schedule. A suspect point
may show a source that was emptied. Each of these is kept if a rule keeps it, but never evicts another point. Therefore
the rules are applied several times, each time with more points, and a point stays if any result keeps it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from backup_platform.domain.trust.latest import begun
from backup_platform.domain.windows.schedule import WindowSchedule


@dataclass(frozen=True, slots=True)
class KeepRules:
    """How many buckets of each kind keep their newest point. `last` counts points, and `within` reaches back from the
    newest point. The newest `min_points` points and the newest `min_proven` proven points stay in any case."""

    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    last: int = 0
    within: timedelta | None = None
    min_points: int = 1
    min_proven: int = 1


@dataclass(frozen=True, slots=True)
class SourceRules:
    """What a plan says about a source. `keep` None keeps everything. A point is late if it was stored more than
    `patience` after the end of its window. `schedule` gives the windows, if it is known."""

    keep: KeepRules | None = None
    timezone: str = "UTC"
    patience: timedelta = timedelta(days=1)
    schedule: WindowSchedule | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """What retention must know about a point.

    `stored_at` is the store's clock. `proven` means by a drill, and `verified` at least by a verify. `held` is the
    reason of a hold. `doubt` says why it is not known whether the point is proven. `late` means that it was stored long
    after its window. `suspect` means that it looks emptied or shrunk, and that nobody has accepted it. `foreign` means
    that the plan's schedule does not have its window. `strange` says why no schedule can have it.
    """

    id: str
    sequence: int
    window: str
    start: datetime
    stored_at: datetime
    complete: bool = True
    proven: bool = False
    held: str = ""
    doubt: str = ""
    verified: bool = False
    late: bool = False
    suspect: bool = False
    foreign: bool = False
    strange: str = ""

    def counts(self, now: datetime) -> bool:
        """Whether a schedule can have the point's window, and the window has begun."""
        return not self.strange and begun(self.start, min(now, self.stored_at))


@dataclass(frozen=True, slots=True)
class Decision:
    """`reasons` say why the point is kept or, if it is not kept, why no rule keeps it."""

    id: str
    keep: bool
    reasons: tuple[str, ...]


_Bucket = Callable[[datetime], object]
_BUCKETS: tuple[tuple[str, str, _Bucket], ...] = (
    # An hour that is shown twice when clocks go back is two buckets: the offset tells them apart.
    ("hourly", "hour", lambda at: (at.date(), at.hour, at.utcoffset())),
    ("daily", "day", lambda at: at.date()),
    ("weekly", "week", lambda at: at.isocalendar()[:2]),
    ("monthly", "month", lambda at: (at.year, at.month)),
    ("yearly", "year", lambda at: at.year),
)


def decide(
    rules: KeepRules | None, candidates: Sequence[Candidate], now: datetime, timezone: str
) -> list[Decision]:
    """One decision for each candidate of one source, in their order. `now` is the store's clock. Without rules
    everything is kept.

    A point is kept but not counted if its window starts after `now` or after the point was stored, or if no schedule
    can have its window: such a point cannot evict others. The newest complete point, the newest proven one and the
    newest verified one always stay, if they are not suspect. So does the last point of the chain, because its number
    would be used again.
    """
    reasons: dict[str, list[str]] = {each.id: [] for each in candidates}
    if rules is None:
        return [
            Decision(each.id, True, (*_holding(each), "the plan keeps everything")) for each in candidates
        ]
    for identity, reason in _kept(rules, candidates, now, ZoneInfo(timezone)):
        reasons[identity].append(reason)
    last = max(candidates, key=lambda each: each.sequence, default=None)
    if last is not None and not reasons[last.id]:
        reasons[last.id].append("the last of its chain")
    current = {each.id for each in _current(candidates)}
    return [
        Decision(each.id, bool(found), tuple(found) or (_why_not(each, current),))
        for each, found in ((each, reasons[each.id]) for each in candidates)
    ]


def _kept(
    rules: KeepRules, candidates: Sequence[Candidate], now: datetime, zone: ZoneInfo
) -> Iterator[tuple[str, str]]:
    """Ids with a reason to keep them."""
    yield from ((each.id, reason) for each in candidates for reason in _holding(each))
    yield from ((each.id, each.doubt) for each in candidates if each.doubt)
    real = [each for each in candidates if each.counts(now)]
    others = [each for each in candidates if not each.counts(now)]
    yield from (
        (each.id, f"{each.strange or 'its window starts in the future'}: not counted") for each in others
    )
    kept, asked = set[str](), list[list[Candidate]]()
    for group in _groups(real):
        if group and group not in asked:
            answers = (*_by_rules(rules, group, zone), *_of_windows_without(rules, group, zone))
            found = [each for each in answers if each[0] not in kept]
            yield from found
            kept |= {identity for identity, _ in found}
            asked.append(group)


def _groups(real: Sequence[Candidate]) -> Iterator[list[Candidate]]:
    """The groups of points for which the rules are evaluated: all points, and the points without each kind of
    doubt."""
    for points in ([each for each in real if not each.suspect], list(real)):
        timely = [each for each in points if not each.late]
        yield [each for each in timely if not each.foreign]
        yield timely
        yield points


def _of_windows_without(
    rules: KeepRules, real: Sequence[Candidate], zone: ZoneInfo
) -> Iterator[tuple[str, str]]:
    """Incomplete points of windows that have no complete one: one file that cannot be read makes all points of a source
    incomplete. Where there are complete ones too, the incomplete take no place of theirs in `last`."""
    complete = _current(real)
    windows = {each.window for each in complete}
    others = [replace(each, complete=True) for each in real if each.window not in windows]
    if not others:
        return
    found = _by_time(rules, _aged([*complete, *others]), zone) if complete else _by_rules(rules, others, zone)
    incomplete = {each.id for each in others}
    yield from ((identity, f"{reason}, incomplete") for identity, reason in found if identity in incomplete)


def _holding(candidate: Candidate) -> tuple[str, ...]:
    return (f"held: {candidate.held}",) if candidate.held else ()


def _by_rules(rules: KeepRules, real: Sequence[Candidate], zone: ZoneInfo) -> Iterator[tuple[str, str]]:
    counted = _aged(_current(real))
    yield from _by_count(rules, counted)
    yield from _by_time(rules, counted, zone)
    yield from _safeguards(rules, real, counted)


def _aged(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The newest point of each window, newest first."""
    newest = {each.window: each for each in sorted(candidates, key=lambda each: each.sequence)}
    return sorted(newest.values(), key=_age, reverse=True)


def _by_time(rules: KeepRules, counted: Sequence[Candidate], zone: ZoneInfo) -> Iterator[tuple[str, str]]:
    for name, unit, bucket in _BUCKETS:
        yield from _by_bucket(getattr(rules, name), unit, bucket, counted, zone)
    if rules.within is not None and counted:
        reach = counted[0].start - rules.within
        yield from ((each.id, "within the newest time span") for each in counted if each.start > reach)


def _by_count(rules: KeepRules, counted: Sequence[Candidate]) -> Iterator[tuple[str, str]]:
    for number, each in enumerate(counted[: rules.last], 1):
        yield each.id, f"last {number} of {rules.last}"


def _by_bucket(
    count: int, unit: str, bucket: _Bucket, counted: Sequence[Candidate], zone: ZoneInfo
) -> Iterator[tuple[str, str]]:
    seen: set[object] = set()
    for each in counted:
        key = bucket(each.start.astimezone(zone))
        if key not in seen and len(seen) < count:
            seen.add(key)
            yield each.id, f"newest of {unit} {len(seen)} of {count}"


def _safeguards(
    rules: KeepRules, real: Sequence[Candidate], counted: Sequence[Candidate]
) -> Iterator[tuple[str, str]]:
    for each in counted[: max(1, rules.min_points)]:
        yield each.id, _of_newest(rules.min_points)
    complete = sorted((each for each in real if each.complete), key=_age, reverse=True)
    for each in [each for each in complete if each.proven][: max(1, rules.min_proven)]:
        yield each.id, f"{_of_newest(rules.min_proven)} proven"
    for each in [each for each in complete if each.verified][:1]:
        yield each.id, "the newest that was verified"
    if not counted and real:
        yield max(real, key=_age).id, "the newest; there is no complete one"


def _of_newest(count: int) -> str:
    return f"one of the {count} newest" if count > 1 else "the newest"


def _current(candidates: Iterable[Candidate]) -> list[Candidate]:
    """The complete point of each window, the one with the highest sequence."""
    newest: dict[str, Candidate] = {}
    for each in sorted(candidates, key=lambda each: each.sequence):
        if each.complete:
            newest[each.window] = each
    return list(newest.values())


def _age(candidate: Candidate) -> tuple[datetime, int]:
    return candidate.start, candidate.sequence


def _why_not(candidate: Candidate, current: set[str]) -> str:
    if candidate.suspect:
        return "suspect, and no rule keeps it"
    if not candidate.complete:
        return "incomplete"
    return "no rule keeps it" if candidate.id in current else "its window has a newer point"
