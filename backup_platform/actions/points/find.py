"""Names of recovery points: SOURCE@latest, SOURCE@WINDOW, SOURCE@DATE, or the start of an id."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence

from backup_platform.advice import Hint, command, joined
from backup_platform.domain.model import RecoveryPoint
from backup_platform.domain.trust.latest import Skipped, choose_latest, log_skipped
from backup_platform.domain.words import point_label, point_name
from backup_platform.errors import DamageError, NotFoundError, UsageError
from backup_platform.repository.points.chains import effective_points
from backup_platform.repository.repository import Repository

MIN_PREFIX = 4


def find_point(
    repository: Repository, spec: str, tell: Callable[[Skipped], None] = log_skipped
) -> RecoveryPoint:
    """`tell` is called for each point that `latest` skips. Raises NotFoundError, or UsageError if several points
    match."""
    source, at, moment = spec.partition("@")
    if at and not (source and moment):
        missing = "a window" if source else "a source"
        raise UsageError(
            f"{spec!r} does not name a recovery point: {missing} is missing.",
            subject=spec,
            hint=f"Write {source or 'SOURCE'}@{moment or 'latest'}. Is a variable of the shell not set?",
        )
    if at:
        return _of_source(repository, source, moment, tell)
    if not re.fullmatch(rf"[0-9a-f]{{{MIN_PREFIX},64}}", spec):
        named = spec if spec.isidentifier() else "SOURCE"
        raise UsageError(
            f"{spec!r} does not name a recovery point.",
            subject=spec,
            hint=f"Write {named}@latest, {named}@2026-11-21, or the first {MIN_PREFIX} digits or more of an id.",
        )
    points, errors = repository.points.readable()
    found = [p for p in points if p.id.startswith(spec)]
    if not found and errors:
        raise errors[0]
    return _single(found, spec)


def _of_source(
    repository: Repository, source: str, moment: str, tell: Callable[[Skipped], None]
) -> RecoveryPoint:
    """A damaged manifest hides only itself; but which is the latest, it may know better than the others."""
    readable, errors = repository.points.readable(source)
    points = effective_points(readable)
    if errors and (moment == "latest" or not any(p.window.key.startswith(moment) for p in points)):
        raise _of_damage(errors[0], source)
    if not points:
        raise NotFoundError(
            f"There is no recovery point of {source!r} in {repository.store.location}.{_nearest(repository, source)}",
            subject=source,
            hint=(command("points"), " lists what is there."),
        )
    if moment == "latest":
        return _latest(readable, tell)
    exact = [p for p in points if p.window.key == moment]
    starting = exact or [p for p in points if p.window.key.startswith(moment)]
    return _single(starting, f"{source}@{moment}", hint=f"The newest is {point_label(points[-1])}.")


def _of_damage(error: DamageError, source: str) -> DamageError:
    """What can be used all the same, besides what mends it."""
    lists = " lists those that can be read."
    others = (f"Name a window ({source}@WINDOW): ", command("points", source), lists)
    error.advice = joined(others, error.advice)
    return error


def _latest(points: Sequence[RecoveryPoint], tell: Callable[[Skipped], None]) -> RecoveryPoint:
    choice = choose_latest(points)
    if choice.point is None:
        newest = choice.skipped[-1]
        name = point_label(newest.point)
        raise NotFoundError(
            f"Every recovery point of {newest.point.source} is suspect: {'; '.join(newest.point.suspect)}.",
            subject=newest.point.source,
            hint=(
                "If that is as it should be: ",
                command("accept", newest.point.id[:12], "--reason", "TEXT"),
                f". To use it without that, name it: {name}.",
            ),
        )
    for each in choice.skipped:
        tell(each)
    return choice.point


def _single(points: Sequence[RecoveryPoint], spec: str, hint: Hint = "") -> RecoveryPoint:
    if not points:
        raise NotFoundError(
            f"There is no recovery point {spec}.",
            subject=spec,
            hint=hint or (command("points"), " lists them."),
        )
    if len(points) > 1:
        names = ", ".join(map(point_name, points[:5]))
        raise UsageError(
            f"{spec} fits {len(points)} recovery points: {names}.", subject=spec, hint="Write more of it."
        )
    return points[0]


def _nearest(repository: Repository, source: str) -> str:
    names: Iterable[str] = {p.source for p in repository.points.readable()[0]}
    close = difflib.get_close_matches(source, names, 1)
    return f" Did you mean {close[0]!r}?" if close else ""


def require_window(point: RecoveryPoint, window: str) -> None:
    """Raises NotFoundError if the point is not of the requested window, but of the nearest one before it."""
    if window not in ("latest", point.window.key):
        raise NotFoundError(
            f"There is no recovery point {point.source}@{window}.",
            subject=point.source,
            hint=f"The nearest is {point.window.key}.",
        )
