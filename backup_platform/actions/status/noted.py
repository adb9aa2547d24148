"""What this host noted of a source: outlines of its points, and which windows were judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from backup_platform.domain.model import Json, Window
from backup_platform.domain.status.outline import PointOutline
from backup_platform.domain.status.past import JudgedPast
from backup_platform.domain.windows.runs import WindowRun
from backup_platform.repository.objects.names import ManifestKey
from backup_platform.repository.points.notes import Notes

VERSION = 1  # of the document; notes of another are ignored


@dataclass(frozen=True, slots=True)
class Noted:
    """`points` by the keys of their manifests; `past` was judged by the schedule with this `signature`, from these
    points. `forgotten` are windows that were not settled when their points were forgotten. `highest` is the highest
    sequence of a forgotten point whose record was read. Points that are `lost` went away without being forgotten."""

    points: Mapping[ManifestKey, PointOutline] = field(default_factory=dict)
    past: JudgedPast | None = None
    signature: str = ""
    forgotten: frozenset[Window] = frozenset()
    highest: int = 0
    lost: tuple[PointOutline, ...] = ()


def read_noted(notes: Notes, source: str) -> Noted:
    """What was noted of a source; nothing where that cannot be read."""
    document = notes.read(source)
    try:
        if document["version"] != VERSION:
            return Noted()
        rows = ((ManifestKey(row[0]), _outline(source, row[1:])) for row in document["points"])
        return Noted(
            dict(rows),
            _past(document["past"]) if document["past"] else None,
            str(document["signature"]),
            frozenset(map(_window, document["forgotten"])),
            int(document["highest"]),
            tuple(_outline(source, row) for row in document["lost"]),
        )
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        return Noted()


def write_noted(notes: Notes, source: str, noted: Noted) -> None:
    notes.write(
        source,
        {
            "version": VERSION,
            "points": [[key, *_row(point)] for key, point in noted.points.items()],
            "past": _past_row(noted.past) if noted.past else None,
            "signature": noted.signature,
            "forgotten": [_window_row(each) for each in sorted(noted.forgotten, key=lambda w: w.start)],
            "highest": noted.highest,
            "lost": [_row(point) for point in noted.lost],
        },
    )


def _row(point: PointOutline) -> list[Json]:
    return [
        point.id,
        point.sequence,
        point.kind,
        _window_row(point.window),
        point.timezone,
        point.captured_at.isoformat(),
        point.committed_at.isoformat(),
        point.incomplete,
        [*point.suspect],
        point.source_bytes,
        point.new_bytes,
        point.stored_bytes,
        point.duration_s,
        point.stored_at.isoformat() if point.stored_at else None,
    ]


def _outline(source: str, row: list[Any]) -> PointOutline:
    identity, sequence, kind, window, timezone, captured, committed, *rest = row
    incomplete, suspect, source_bytes, new_bytes, stored_bytes, duration, stored_at = rest
    at = datetime.fromisoformat
    return PointOutline(
        identity,
        sequence,
        source,
        kind,
        _window(window),
        timezone,
        at(captured),
        at(committed),
        incomplete,
        tuple(suspect),
        source_bytes,
        new_bytes,
        stored_bytes,
        duration,
        at(stored_at) if stored_at else None,
    )


def _window(row: list[Any]) -> Window:
    key, start, end = row
    return Window(key, datetime.fromisoformat(start), datetime.fromisoformat(end))


def _window_row(window: Window) -> Json:
    return [window.key, window.start.isoformat(), window.end.isoformat()]


def _past_row(past: JudgedPast) -> Json:
    lacking: list[Json] = [[_window_row(run.first), _window_row(run.last), run.count] for run in past.lacking]
    return [past.start.isoformat(), past.end.isoformat(), past.begun.isoformat(), lacking]


def _past(row: list[Any]) -> JudgedPast:
    start, end, begun, lacking = row
    at = datetime.fromisoformat
    runs = (WindowRun(_window(first), _window(last), int(count)) for first, last, count in lacking)
    return JudgedPast(at(start), at(end), at(begun), tuple(runs))
