"""The rules by which a source is judged, each of one thing. Standard library only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from statistics import median
from typing import TypeAlias

from backup_platform.advice import Command, Hint, command
from backup_platform.domain.keep.copies import InPlace
from backup_platform.domain.model import Window
from backup_platform.domain.status.evidence import SourceEvidence, shown_at
from backup_platform.domain.status.outline import PointOutline
from backup_platform.domain.status.values import SourceStatus
from backup_platform.domain.status.words import SourceFinding, SourceState
from backup_platform.domain.trust.latest import in_time
from backup_platform.domain.windows.runs import ending_after
from backup_platform.domain.words import (
    how_many,
    listing,
    point_label,
    size,
    span,
    were,
    with_others,
)

LATELY = timedelta(days=7)  # what was missed within it may not have been looked at yet
RECENT = 14  # points whose time tells how long a backup takes
_WITHIN = {"daily": timedelta(days=2), "weekly": timedelta(days=14)}

Rule: TypeAlias = Callable[[SourceEvidence, SourceStatus], Iterator[SourceFinding]]


def unreadable(known: SourceEvidence, measured: SourceStatus) -> Iterator[SourceFinding]:
    if known.unreadable:
        yield SourceFinding(SourceState.UNKNOWN, with_others(known.unreadable))


def never(known: SourceEvidence, measured: SourceStatus) -> Iterator[SourceFinding]:
    if known.points or known.unreadable:
        return
    awaited = known.missed.awaited if known.missed is not None else None
    when = f"; window {awaited.key} is the first" if awaited else ""
    yield SourceFinding(SourceState.NEVER, f"it has no recovery point{when}", ("Run ", _backup(known), "."))


def failed(known: SourceEvidence, measured: SourceStatus) -> Iterator[SourceFinding]:
    if known.failed:
        newest = known.failed[-1]
        text = f"a proof of {point_label(newest)} found a difference"
        others = len(known.failed) - 1
        more = f", and of {how_many(others, 'other point')}" if others else ""
        shown = command("show", newest.id[:12])
        hint: Hint = (shown, " shows it. If something stored is damaged, ", command("repair"), " mends it.")
        yield SourceFinding(SourceState.FAILED, text + more, hint)


def overdue(known: SourceEvidence, measured: SourceStatus) -> Iterator[SourceFinding]:
    """A window that is due and can still be backed up, or one that is over without a later point."""
    if known.missed is None or not known.points:
        return
    late = known.missed.late
    if late or _is_late(known):
        keys = [window.key for window in late] + (
            [known.missed.current.key] if known.missed.current and _is_late(known) else []
        )
        text = f"no recovery point for {listing(keys[-3:])}, which can still be backed up"
    elif since := _missed_since(known, measured):
        text = f"{how_many(len(since), 'window')} {were(len(since))} missed since the last point: {_span_of(since)}"
    else:
        return
    yield SourceFinding(SourceState.OVERDUE, text, ("Run ", _backup(known), "."))


def too_old(known: SourceEvidence, measured: SourceStatus) -> Iterator[SourceFinding]:
    if measured.rpo.is_missed and measured.rpo.measured and measured.rpo.wanted:
        text = f"the last sound point shows the data of {span(measured.rpo.measured)} ago"
        yield SourceFinding(
            SourceState.OVERDUE,
            f"{text}; `rpo` is {span(measured.rpo.wanted)}",
            ("Run ", _backup(known), "."),
        )


def suspect(known: SourceEvidence, measured: SourceStatus) -> Iterator[SourceFinding]:
    newer = [point for point in measured.suspect if _is_newer(point, measured.last)]
    if newer:
        point = newer[-1]
        hint: Hint = (
            "Look at the source. If it is as it should be: ",
            command("accept", point.id[:12], "--reason", "TEXT"),
            ". Otherwise correct it, and run ",
            command("backup", known.source, "--force"),
            ".",
        )
        yield SourceFinding(
            SourceState.SUSPECT, f"{point_label(point)} is suspect: {with_others(point.suspect)}", hint
        )


def incomplete(known: SourceEvidence, measured: SourceStatus) -> Iterator[SourceFinding]:
    newer = [p for p in known.points if p.incomplete and not p.is_suspect and _is_newer(p, measured.last)]
    if newer:
        label = point_label(newer[-1])
        hint: Hint = (command("show", label), " lists what is not in it.")
        yield SourceFinding(SourceState.INCOMPLETE, f"{label} is incomplete", hint)


def unproven(known: SourceEvidence, measured: SourceStatus) -> Iterator[SourceFinding]:
    last, proven = measured.last, measured.proven
    if known.drill == "never":
        if known.rto:
            yield SourceFinding(
                SourceState.UNPROVEN,
                "`rto` is not measured: the plan says `drill: never`",
                "Take out one of them.",
            )
        return
    if last is None:
        return
    if proven is None:
        yield SourceFinding(SourceState.UNPROVEN, "no drill of its points has passed", _drill(known))
    elif shown_at(last) - shown_at(proven) > _proof_within(known, last):
        text = f"the newest proven point is {point_label(proven)}, {span(shown_at(last) - shown_at(proven))} older"
        yield SourceFinding(SourceState.UNPROVEN, f"{text} than the last point", _drill(known))


def uncopied(known: SourceEvidence, measured: SourceStatus) -> Iterator[SourceFinding]:
    copies, last = known.copies, measured.last
    if copies is None or last is None or copies.verdict is not InPlace.NO:
        return
    there = listing(copies.repositories) or "no repository"
    text = f"{point_label(last)} is in {there} only since {last.committed_at:%Y-%m-%d %H:%M} UTC"
    away = f"; {listing(copies.silent)} cannot be read" if copies.silent else ""
    copying = [
        command("copy", known.source, "--to", name, repository=known.repositories[0])
        for name in copies.lacking
    ]
    yield SourceFinding(SourceState.UNCOPIED, text + away, ("Run ", copying[0], ".") if copying else "")


def slow(known: SourceEvidence, measured: SourceStatus) -> Iterator[SourceFinding]:
    rto, last = measured.rto, measured.last
    if rto.is_missed and rto.measured and rto.wanted and last:
        text = f"a restore of {size(last.source_bytes)} takes {span(rto.measured)}, by its drills"
        yield SourceFinding(
            SourceState.SLOW,
            f"{text}; `rto` is {span(rto.wanted)}",
            "Restore from a nearer repository or on a faster machine, or promise less in the plan.",
        )


def missed_lately(known: SourceEvidence, measured: SourceStatus) -> Iterator[SourceFinding]:
    lately = ending_after(known.missed.missed, known.now - LATELY) if known.missed else ()
    if lately and not _missed_since(known, measured):  # else that is told
        text = f"{how_many(len(lately), 'window')} {were(len(lately))} missed within {LATELY.days} days: "
        text += _span_of(lately)
        yield SourceFinding(SourceState.MISSED, text, "docs/repair.md says how to find out why.")


RULES: tuple[Rule, ...] = (
    unreadable,
    never,
    failed,
    overdue,
    too_old,
    suspect,
    incomplete,
    unproven,
    uncopied,
    slow,
    missed_lately,
)


def _missed_since(known: SourceEvidence, measured: SourceStatus) -> Sequence[Window]:
    """The windows that were missed after the last sound point."""
    missed, last = known.missed.missed if known.missed else (), measured.last
    return ending_after(missed, last.window.end) if last else missed


def _span_of(windows: Sequence[Window]) -> str:
    return windows[0].key if len(windows) == 1 else f"{windows[0].key} to {windows[-1].key}"


def _is_late(known: SourceEvidence) -> bool:
    """Whether the open window is due for longer than a backup of this source takes."""
    if known.due_since is None or known.missed is None or known.missed.current is None:
        return False
    times = [point.duration_s for point in known.points[-RECENT:]]
    patience = timedelta(seconds=2 * median(times)) if times else timedelta(0)
    return known.now - known.due_since > patience


def _is_newer(point: PointOutline, last: PointOutline | None) -> bool:
    return in_time(point) and (last is None or point.sequence > last.sequence)


def _proof_within(known: SourceEvidence, last: PointOutline) -> timedelta:
    """How much older than the last point the newest proven one may be."""
    return _WITHIN.get(known.drill, 2 * (last.window.end - last.window.start))


def _backup(known: SourceEvidence) -> Command:
    return command("backup", known.source)


def _drill(known: SourceEvidence) -> Hint:
    if not known.can_drill:
        return "Drill it on a host that has an identity: this one cannot open the contents."
    return ("Run ", command("drill", f"{known.source}@latest"), ".")
