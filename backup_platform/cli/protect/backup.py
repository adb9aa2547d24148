"""`backup`: capture sources into recovery points."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from backup_platform.cli.context import CliSession, session_of
from backup_platform.cli.display import json_shapes as shapes
from backup_platform.cli.display.names import printable
from backup_platform.cli.display.output import Output
from backup_platform.cli.failure import InterruptError, report, unexpected
from backup_platform.domain import words
from backup_platform.domain.model import Json, RecoveryPoint
from backup_platform.domain.tables import counted
from backup_platform.errors import (
    BackupError,
    IncompleteError,
    KeyMissingError,
    RecipientsChangedError,
    RepositoryChangedError,
    RepositoryMissingError,
    StoreError,
    UsageError,
)

if TYPE_CHECKING:
    from backup_platform.actions.backup.run import BackupResult
    from backup_platform.kinds.kind import AnyKind

PROBLEMS_SHOWN = 10
_CONCERNS_ALL = (RepositoryMissingError, RepositoryChangedError, RecipientsChangedError, KeyMissingError)
_RESUME = "What was stored so far is kept, and the next backup of the same source uses it."


@dataclass(frozen=True, slots=True)
class SourceOutcome:
    """What became of one source: a result, or the error that stopped it."""

    source: str
    result: BackupResult | None = None
    error: BackupError | None = None

    @property
    def exit_code(self) -> int:
        if self.result is None:
            return self.error.exit_code if self.error else 1
        point = self.result.point
        wrong = point.incomplete or point.is_suspect or self.result.recipients or self.result.gone
        return IncompleteError.exit_code if wrong else 0


def backup(
    ctx: typer.Context,
    source: Annotated[
        str | None,
        typer.Argument(metavar="SOURCE", help="The source to back up. [default: all sources of the plan]"),
    ] = None,
    window: Annotated[
        str | None,
        typer.Option("--window", metavar="W", help="Fail if the snapshot would not belong to this window."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Back up again, although the window already has a recovery point.")
    ] = False,
) -> int:
    """Back up one source, or all sources of the plan in turn.

    A snapshot belongs to the window in which it is taken. So only the current window can be backed up, or one that
    ended within the source's late_limit.

    A source that fails does not stop the others. The exit code is then the worst one: failed, then incomplete or
    suspect, then done.

    A point is suspect when the source looks emptied, or lost most of its data. It is stored, but it replaces no other
    point until somebody accepts it.

    \b
    Examples:
      backup-platform backup
      backup-platform backup shop --window 2026-11-22
    """
    session = session_of(ctx)
    session.resume = _RESUME
    if window is not None and source is None:
        raise UsageError("--window needs a SOURCE", hint="Windows differ between the sources of a plan.")
    if source is not None:
        return _one(session, source, window, force)
    return _all(session, list(session.app.plan.sources), force)


def _one(session: CliSession, source: str, window: str | None, force: bool) -> int:
    with session.progress(f"backup {source}") as progress:
        result = session.app.backups.run(source, window=window, force=force, progress=progress)
    outcome = SourceOutcome(source, result)
    _describe(session, outcome)
    session.out.document({"results": [_shape(session, outcome)]})
    return outcome.exit_code


def _all(session: CliSession, sources: Sequence[str], force: bool) -> int:
    outcomes: list[SourceOutcome] = []
    try:
        with suppress(StoreError):  # one that does not answer now may do so for the next source
            session.app.repository  # noqa: B018  what fails for all sources alike: secrets, keys, no repository
        for source in sources:
            outcomes.append(_attempt(session, source, force))
            _describe(session, outcomes[-1])
    except (BackupError, KeyboardInterrupt) as error:
        known = error if isinstance(error, BackupError) else InterruptError("interrupted", hint=_RESUME)
        results: list[Json] = [_shape(session, each) for each in outcomes]
        session.out.document({"results": results, "error": session.error_object(known)})
        raise
    session.out.document({"results": [_shape(session, each) for each in outcomes]})
    return _worst([each.exit_code for each in outcomes])


def _attempt(session: CliSession, source: str, force: bool) -> SourceOutcome:
    """Back up one of several sources: its failure is its outcome, what fails for all alike is raised."""
    try:
        with session.progress(f"backup {source}") as progress:
            return SourceOutcome(source, session.app.backups.run(source, force=force, progress=progress))
    except _CONCERNS_ALL:
        raise
    except BackupError as error:
        outcome = SourceOutcome(source, error=error)
    except Exception as error:
        outcome = SourceOutcome(source, error=unexpected(session, error))
    if outcome.error is not None:
        report(session, outcome.error, about=source)
    return outcome


def _worst(codes: Sequence[int]) -> int:
    """1 over 3 over 0: of several sources, any failure is exit code 1."""
    if any(code not in (0, IncompleteError.exit_code) for code in codes):
        return 1
    return max(codes, default=0)


def _describe(session: CliSession, outcome: SourceOutcome) -> None:
    out = session.out
    if outcome.result is None:
        out.line(f"{outcome.source}: {out.paint('FAILED', 'bad')}")
        return
    point = outcome.result.point
    verdict = _verdict(out, outcome.result)
    out.line(f"{point.source}: {verdict}, window {point.window.key}, point {point.id[: words.ID_SHOWN]}")
    if outcome.result.created:
        _print_stats(out, point, session.app.points.kind_of(point))
        _print_unvouched(out, point)
        if outcome.result.stored_again:
            size, verify = (
                words.size(outcome.result.stored_again),
                session.command("verify", "--read", "none"),
            )
            out.line(
                f"  {size} of it was stored again, because a final tombstone names the packs that hold it."
            )
            out.line(f"  {verify} shows whether a prune wrote it.")
    if point.lateness_s > 0:
        out.line(f"  captured {words.duration(point.lateness_s)} after the end of its window")
    print_problems(out, point, PROBLEMS_SHOWN)
    for gone in outcome.result.gone:
        out.line(f"  {out.paint('LOST', 'bad')} {gone}")
    for text in outcome.result.recipients:
        out.line(f"  {out.paint('recipients', 'bad')}: {session.written(text)}")
    if point.is_suspect:
        _print_suspicion(session, point)
    elif outcome.result.created and not point.incomplete:
        out.line(f"  unproven until a drill: {session.command('drill', point.id[: words.ID_SHOWN])}")


def _print_suspicion(session: CliSession, point: RecoveryPoint) -> None:
    out = session.out
    for reason in point.suspect:
        out.line(f"  {out.paint('suspect', 'bad')}: {reason}")
    out.line("  It replaces no other point, and `latest` does not select it. Look at the source.")
    accept = session.command("accept", point.id[: words.ID_SHOWN], "--reason", "TEXT")
    out.line(f"  If the source is right: {accept}")
    out.line(
        "  If this happens often, say so in the plan: `allow_empty`, `shrink` or `expect` (docs/plan.md)."
    )


def _verdict(out: Output, result: BackupResult) -> str:
    if result.point.is_suspect:
        return out.paint("SUSPECT", "bad")
    if result.point.incomplete:
        return out.paint("INCOMPLETE", "warn")
    return "stored" if result.created else "kept the point that the window already has"


def _print_stats(out: Output, point: RecoveryPoint, kind: AnyKind) -> None:
    stats, amount = point.stats, counted(point.facts)
    held = words.how_many(stats.files, "file")
    if amount is not None:
        held = f"{words.how_many(amount[0], 'table')} with {words.how_many(amount[1], 'row')}"
    amounts = {kind.sizes: stats.source_bytes, "new": stats.new_bytes, "stored": stats.stored_bytes}
    sizes = ", ".join(f"{words.size(amount)} {name}" for name, amount in amounts.items())
    out.line(f"  {held}, {sizes}, dedup {words.share(stats.dedup_ratio)}")
    out.line(f"  {words.duration(stats.duration_s)}, {words.rate(stats.source_bytes, stats.duration_s)}")


def _print_unvouched(out: Output, point: RecoveryPoint) -> None:
    if point.unvouched and point.unvouched.size:
        size = words.size(point.unvouched.size)
        out.line(
            f"  {size} of it is in packs that this host neither wrote nor can read. It is unvouched until a verify "
            "or a drill on a host with an identity."
        )


def print_problems(out: Output, point: RecoveryPoint, limit: int) -> None:
    """List the first problems, and say how many there are."""
    for problem in point.problems[:limit]:
        detail = f" ({problem.detail})" if problem.detail else ""
        out.line(f"  {out.paint(problem.status.value, 'warn')}: {printable(problem.path)}{detail}")
    more = point.problem_count - min(limit, len(point.problems))
    if more > 0:
        out.line(f"  and {words.how_many(more, 'more problem')}")


def _shape(session: CliSession, outcome: SourceOutcome) -> dict[str, Json]:
    if outcome.result is None:
        error = None if outcome.error is None else session.error_object(outcome.error)
        return {"source": outcome.source, "outcome": "failed", "point": None, "error": error}
    point = outcome.result.point
    word = "stored" if outcome.result.created else "kept"
    problems: list[Json] = [shapes.problem(each) for each in point.problems]
    return {
        "source": outcome.source,
        "outcome": "suspect" if point.is_suspect else "incomplete" if point.incomplete else word,
        "created": outcome.result.created,
        "point": {
            **shapes.point(point),
            "unvouched_bytes": point.unvouched.size if outcome.result.created and point.unvouched else None,
            "stored_again_bytes": outcome.result.stored_again,
            "problems": problems,
        },
        "recipients": list[Json]([session.written(each) for each in outcome.result.recipients]),
        "gone": list[Json](outcome.result.gone),
        "error": None,
    }
