"""The JSON of `status`, as docs/command-line.md has it. Names and meanings only ever get added to."""

from __future__ import annotations

from datetime import timedelta

from backup_platform.advice import Hint
from backup_platform.advice import advice as pieces
from backup_platform.cli.context import CliSession
from backup_platform.cli.display.json_shapes import moment
from backup_platform.cli.display.output import piece_shape
from backup_platform.domain.model import Json, Window
from backup_platform.domain.status.objectives import Objective
from backup_platform.domain.status.outline import PointOutline
from backup_platform.domain.status.values import PlanStatus, RepositoryStatus, SourceStatus
from backup_platform.domain.windows.health import MissedWindows
from backup_platform.domain.windows.runs import WindowRuns


def plan_shape(session: CliSession, status: PlanStatus) -> dict[str, Json]:
    return {
        "fine": status.is_fine,
        "at": moment(status.at),
        "sources": [_source(session, status, each) for each in status.sources],
        "repositories": [_repository(session, each) for each in status.repositories],
        "unprotected": [*status.unprotected],
    }


def _source(session: CliSession, whole: PlanStatus, status: SourceStatus) -> Json:
    copies = status.copies
    return {
        "source": status.source,
        "kind": status.kind,
        "state": status.state.value,
        "bad": status.state.is_bad,
        "findings": [_finding(session, each.state, each.text, each.advice) for each in status.findings],
        "last_point": _point(status.last),
        "last_proven_point": _point(status.proven),
        "proven_at": moment(status.proven_at) if status.proven_at else None,
        "proof_age_s": _seconds(status.proof_age(whole.at)),
        "points": status.points,
        "suspect_points": [point.id for point in status.suspect],
        "rpo": _objective(status.rpo),
        "rto": {**_objective(status.rto), "drills": len(status.drills)},
        "missed": _missed(status.missed),
        "copies": None
        if copies is None
        else {
            "in": [*copies.repositories],
            "lacking": [*copies.lacking],
            "silent": [*copies.silent],
            "places": [*copies.places],
        },
        "source_bytes": status.last.source_bytes if status.last else None,
        "growth_bytes_per_day": status.growth,
    }


def _finding(session: CliSession, state: str, text: str, advice: Hint, about: str = "") -> Json:
    repository = session.option_for(about)
    return {
        "state": str(state),
        "text": text,
        "hint": session.written(advice, about),
        "advice": [piece_shape(piece, session.plan, repository) for piece in pieces(advice)],
    }


def _point(point: PointOutline | None) -> Json:
    if point is None:
        return None
    return {"id": point.id, "window": point.window.key, "captured_at": moment(point.captured_at)}


def _objective(objective: Objective) -> dict[str, Json]:
    return {"measured_s": _seconds(objective.measured), "wanted_s": _seconds(objective.wanted)}


def _seconds(amount: timedelta | None) -> float | None:
    return amount.total_seconds() if amount is not None else None


def _missed(missed: MissedWindows | None) -> Json:
    if missed is None:
        return None
    runs = missed.missed.runs if isinstance(missed.missed, WindowRuns) else ()
    return {
        "windows": len(missed.missed),
        "runs": [{"first": run.first.key, "last": run.last.key, "windows": run.count} for run in runs],
        "late": [window.key for window in missed.late],
        "due": _key(missed.current),
        "awaited": _key(missed.awaited),
        "judged_from": _key(missed.scanned_from),
    }


def _key(window: Window | None) -> str | None:
    return window.key if window else None


def _repository(session: CliSession, status: RepositoryStatus) -> Json:
    return {
        "repository": status.repository,
        "location": status.location,
        "state": status.state.value,
        "bad": status.state.is_bad,
        "findings": [
            _finding(session, each.state, each.text, each.advice, status.repository)
            for each in status.findings
        ],
        "points": status.points,
        "stored_bytes": status.stored,
        "free_bytes": status.free,
        "capacity_bytes": status.capacity,
        "growth_bytes_per_day": status.growth,
        "days_until_full": status.days_until_full,
        "oldest_unread_s": status.oldest_unread_s,
    }
