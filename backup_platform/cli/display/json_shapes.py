"""The JSON shapes of docs/command-line.md. Names and meanings only ever get added to."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from backup_platform.cli.display.names import name_fields
from backup_platform.domain.model import Entry, Json, Problem, Proof, RecoveryPoint, Stat, Stats
from backup_platform.domain.trust.standing import Standing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backup_platform.actions.points.inventory import Difference
    from backup_platform.domain.keep.holds import Hold


def moment(value: datetime) -> str:
    """An instant as RFC 3339 in UTC."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def point(
    value: RecoveryPoint,
    judged: Standing | None = None,
    holds: Sequence[Hold] | None = None,
    unvouched: int | None = None,
) -> dict[str, Json]:
    """A recovery point without its facts and problems; with its state, what it takes on trust and its holds where they
    were looked up."""
    shape: dict[str, Json] = {
        "id": value.id,
        "source": value.source,
        "kind": value.kind,
        "window": _window(value),
        "captured_at": moment(value.captured_at),
        "committed_at": moment(value.committed_at),
        "lateness_s": value.lateness_s,
        "incomplete": value.incomplete,
        "problem_count": value.problem_count,
        "suspect": [*value.suspect],
        "accepted": value.accepted or None,
        "stats": _stats(value.stats),
    }
    if judged is not None:
        shape["state"] = judged.state.value
        shape["unvouched_bytes"] = unvouched
        shape["proof"] = None if judged.proof is None else proof(judged.proof)
    if holds is not None:
        shape["holds"] = [hold(each, in_force=True) for each in holds]
    return shape


def hold(value: Hold, *, in_force: bool) -> dict[str, Json]:
    return {
        "id": value.id,
        "point": value.point,
        "reason": value.reason,
        "legal": value.legal,
        "placed_at": moment(value.placed_at),
        "until": moment(value.until) if value.until else None,
        "in_force": in_force,
        "released_at": moment(value.released_at) if value.released_at else None,
        "release_reason": value.release_reason or None,
        "damaged": value.damaged or None,
    }


def point_in_full(
    value: RecoveryPoint,
    judged: Standing,
    proofs: list[Proof],
    holds: Sequence[Hold],
    unvouched: int | None,
) -> dict[str, Json]:
    return {
        **point(value, judged, holds, unvouched),
        "sequence": value.sequence,
        "predecessor": value.predecessor,
        "versions": dict(value.versions),
        "facts": dict(value.facts),
        "problems": [problem(each) for each in value.problems],
        "proofs": [proof(each) for each in proofs],
    }


def _window(value: RecoveryPoint) -> dict[str, Json]:
    window = value.window
    return {
        "key": window.key,
        "start": moment(window.start),
        "end": moment(window.end),
        "timezone": value.timezone,
    }


def _stats(stats: Stats) -> dict[str, Json]:
    return {
        "files": stats.files,
        "source_bytes": stats.source_bytes,
        "new_bytes": stats.new_bytes,
        "stored_bytes": stats.stored_bytes,
        "duration_s": stats.duration_s,
        "throughput_mb_s": stats.throughput_mb_s,
        "dedup_ratio": stats.dedup_ratio,
    }


def problem(value: Problem) -> dict[str, Json]:
    path = value.path.encode("utf-8", "surrogateescape")
    return {**name_fields("path", path), "status": value.status.value, "detail": value.detail}


def proof(value: Proof) -> dict[str, Json]:
    return {
        "method": value.method.value,
        "passed": value.passed,
        "at": moment(value.at),
        "duration_s": value.duration_s,
        "detail": dict(value.detail),
    }


def stat(value: Stat) -> dict[str, Json]:
    """All of a stat but its path."""
    return {
        "kind": value.kind.value,
        "mode": value.mode,
        "uid": value.uid,
        "gid": value.gid,
        "size": value.size,
        "mtime_ns": value.mtime_ns,
    }


def entry(value: Entry) -> dict[str, Json]:
    shape: dict[str, Json] = {
        **name_fields("path", value.stat.path),
        **stat(value.stat),
        "user": value.user,
        "group": value.group,
        "status": value.status.value,
    }
    if value.problem:
        shape["problem"] = value.problem
    if value.link_target is not None:
        shape |= name_fields("link_target", value.link_target)
    if value.hardlink is not None:
        shape |= name_fields("hardlink", value.hardlink)
    return shape


def difference(value: Difference) -> dict[str, Json]:
    return {
        **name_fields("path", value.path),
        "change": value.change,
        "before": None if value.before is None else stat(value.before),
        "after": None if value.after is None else stat(value.after),
    }
