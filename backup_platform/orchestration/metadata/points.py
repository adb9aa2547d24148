"""The metadata of recovery points and checks in the UI.

Dagster plots every number by partition under its name, so these names never change: `source_bytes`, `new_bytes`,
`stored_bytes`, `files`, `duration_s`, `throughput_mb_s`, `dedup_ratio`, `problems`, `lateness_s`,
`unvouched_bytes`; and in checks what the check measured (`drill_s` ...).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime

import dagster as dg

from backup_platform.domain.model import Json, Problem, RecoveryPoint
from backup_platform.domain.tables import counted
from backup_platform.domain.visible import visible
from backup_platform.domain.windows.zones import zone_of
from backup_platform.domain.words import duration, how_many, more, size
from backup_platform.orchestration import shown

Metadata = dict[str, dg.MetadataValue]


def point_metadata(point: RecoveryPoint, *, created: bool, manifest: str) -> Metadata:
    """The metadata of a materialisation. `manifest` is where the manifest is, for people."""
    stats = point.stats
    return {
        "summary": shown.markdown(_summary(point, created)),
        "recovery_point": shown.text(point.id),
        "manifest": shown.path(manifest),
        "window": shown.text(point.window.key),
        "captured_at": dg.MetadataValue.timestamp(point.captured_at),
        "created": dg.MetadataValue.bool(created),
        "incomplete": dg.MetadataValue.bool(point.incomplete),
        "suspect": dg.MetadataValue.bool(point.is_suspect),
        "source_bytes": dg.MetadataValue.int(stats.source_bytes),
        "new_bytes": dg.MetadataValue.int(stats.new_bytes),
        "stored_bytes": dg.MetadataValue.int(stats.stored_bytes),
        **_unvouched(point, created),
        "files": dg.MetadataValue.int(stats.files),
        "duration_s": dg.MetadataValue.float(round(stats.duration_s, 3)),
        "throughput_mb_s": dg.MetadataValue.float(round(stats.throughput_mb_s, 3)),
        "dedup_ratio": dg.MetadataValue.float(round(stats.dedup_ratio, 4)),
        "lateness_s": dg.MetadataValue.float(round(point.lateness_s, 3)),
        "problems": dg.MetadataValue.int(point.problem_count),
    }


def _unvouched(point: RecoveryPoint, created: bool) -> Metadata:
    """The unvouched bytes of a new point. For a point that was kept, the check `stored` reports what is left."""
    known = created and point.unvouched is not None
    return (
        {"unvouched_bytes": dg.MetadataValue.int(point.unvouched.size)} if known and point.unvouched else {}
    )


def check_metadata(measured: Mapping[str, Json], *, window: str, point: str, chosen: str = "") -> Metadata:
    """The metadata of a check evaluation: its numbers, its recovery point, and why that point was `chosen` if the run
    does not name it."""
    return {
        **plain_metadata(measured),
        "window": shown.text(window),
        "recovery_point": shown.text(point),
        **({"chosen": shown.text(chosen)} if chosen else {}),
    }


def plain_metadata(measured: Mapping[str, Json]) -> Metadata:
    """Each value in the form that the UI shows best."""
    return {visible(name): _value(name, value) for name, value in measured.items() if value is not None}


def _value(name: str, value: bool | float | str | list[Json] | dict[str, Json]) -> dg.MetadataValue:
    if isinstance(value, bool):
        return dg.MetadataValue.bool(value)
    if isinstance(value, int):
        return dg.MetadataValue.int(value)
    if isinstance(value, float):
        return dg.MetadataValue.float(value) if math.isfinite(value) else shown.text(str(value))
    if isinstance(value, str):
        return _text(name, value)
    if value in ([], {}):
        return shown.text("none")
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return shown.markdown("\n".join(f"- {shown.code(str(item))}" for item in value))
    return shown.document(value)


def _text(name: str, value: str) -> dg.MetadataValue:
    """A text of several lines keeps them, and a difference its colours."""
    if "\n" not in value:
        return shown.text(value)
    language = "diff" if "diff" in name else "text"
    return shown.markdown(shown.fenced(value, language))


def _summary(point: RecoveryPoint, created: bool) -> str:
    stats = point.stats
    rows = [
        ("Window", _interval(point)),
        ("Captured", _captured(point)),
        ("Source", f"{size(stats.source_bytes)} in {_held(point)}"),
        ("New", f"{size(stats.new_bytes)}, stored as {size(stats.stored_bytes)}"),
        ("Held already", f"{stats.dedup_ratio:.1%}"),
        ("Took", f"{duration(stats.duration_s)} ({size(stats.throughput_mb_s * 1e6)}/s)"),
        ("Problems", f"{point.problem_count}"),
    ]
    table = "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])
    suspicion = "".join(f"\n- suspect: {shown.prose(reason)}" for reason in point.suspect)
    return f"{_headline(point, created)}\n{suspicion}\n\n{table}\n{_problems(point)}"


def _headline(point: RecoveryPoint, created: bool) -> str:
    word = "**Suspect** r" if point.is_suspect else "**Incomplete** r" if point.incomplete else "R"
    what = f"{word}ecovery point"
    how = "captured" if created else "was there already and was kept; its checks ran again"
    return f"{what} {shown.code(point.id[:12])} of {shown.code(point.source)} {how}."


def _captured(point: RecoveryPoint) -> str:
    late = f", {point.lateness_s:.0f} s after the window's end" if point.lateness_s > 0 else ""
    return f"{_when(point, point.captured_at)}{late}"


def _interval(point: RecoveryPoint) -> str:
    """An interval as text. The day and the zone are written once if both ends share them, because the UI's column
    is narrow."""
    start, end = _when(point, point.window.start), _when(point, point.window.end)
    (day, _, zone), (end_day, end_time, end_zone) = start.split(" "), end.split(" ")
    until = end_time if day == end_day else f"{end_day} {end_time}"
    return f"{start.removesuffix(f' {zone}') if zone == end_zone else start} to {until} {end_zone}"


def _held(point: RecoveryPoint) -> str:
    if (amount := counted(point.facts)) is None:
        return how_many(point.stats.files, "file")
    return f"{how_many(amount[0], 'table')} with {how_many(amount[1], 'row')}"


def _when(point: RecoveryPoint, instant: datetime) -> str:
    return f"{instant.astimezone(zone_of(point.timezone)):%Y-%m-%d %H:%M %Z}"


def _problems(point: RecoveryPoint) -> str:
    if not point.problems:
        return ""
    first = point.problems[:20]
    lines = [f"- {shown.code(problem.path)}: {_of_problem(problem)}" for problem in first]
    left = point.problem_count - len(first)
    return "\n".join(["", *lines, *([f"- {more(left)}"] if left > 0 else [])])


def _of_problem(problem: Problem) -> str:
    return problem.status.value + (f" ({shown.prose(problem.detail)})" if problem.detail else "")
