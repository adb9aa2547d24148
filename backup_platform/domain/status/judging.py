"""A source is judged: what is measured of it, and its state. Standard library only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from backup_platform.domain.status.evidence import SourceEvidence, shown_at, sound_points
from backup_platform.domain.status.objectives import Objective, restore_time
from backup_platform.domain.status.outline import PointOutline
from backup_platform.domain.status.rules import RULES
from backup_platform.domain.status.values import SourceStatus
from backup_platform.domain.status.words import worst_first
from backup_platform.domain.trust.standing import State, standing

A_WEEK = timedelta(days=7)


def judge_source(known: SourceEvidence) -> SourceStatus:
    """The state of a source, with what is not fine and what to do about it."""
    measured = measure(known)
    return replace(measured, findings=worst_first(each for rule in RULES for each in rule(known, measured)))


def measure(known: SourceEvidence) -> SourceStatus:
    """What is measured of a source, not judged yet."""
    sound = sound_points(known.points)
    last = sound[-1] if sound else None
    proven = next(((each, at) for each in reversed(sound) if (at := _proven_at(known, each))), None)
    return SourceStatus(
        source=known.source,
        kind=known.kind,
        findings=(),
        rpo=Objective(max(known.now - shown_at(last), timedelta(0)) if last else None, known.rpo),
        rto=Objective(restore_time(known.drills, last.source_bytes) if last else None, known.rto),
        last=last,
        proven=proven[0] if proven else None,
        proven_at=proven[1] if proven else None,
        points=len(known.points),
        suspect=tuple(point for point in known.points if point.is_suspect),
        missed=known.missed,
        drills=tuple(known.drills),
        copies=known.copies,
        growth=growth(sound),
    )


def growth(points: Sequence[PointOutline]) -> float | None:
    """Bytes of the source per day, over the last week or what there is of it; None where there is less than a day."""
    if not points:
        return None
    last = points[-1]
    before = [each for each in points if shown_at(last) - shown_at(each) <= A_WEEK]
    first = min(before, key=shown_at)
    days = (shown_at(last) - shown_at(first)) / timedelta(days=1)
    return (last.source_bytes - first.source_bytes) / days if days >= 1 else None


def _proven_at(known: SourceEvidence, point: PointOutline) -> datetime | None:
    """When its last drill passed, if nothing was found wrong since."""
    judged = standing(point, known.proofs(point.id))
    return judged.proof.at if judged.state is State.PROVEN and judged.proof else None
