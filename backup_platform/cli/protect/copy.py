"""`copy`: bring recovery points to the other repositories of the plan."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from backup_platform.cli.context import CliSession, session_of
from backup_platform.cli.display import json_shapes as shapes
from backup_platform.cli.failure import report, unexpected
from backup_platform.domain import words
from backup_platform.domain.model import Json, RecoveryPoint
from backup_platform.errors import BackupError, UsageError

if TYPE_CHECKING:
    from backup_platform.actions.copy.plan import CopyPlan
    from backup_platform.actions.copy.run import CopyResult
    from backup_platform.plan import Plan

LINES_SHOWN = 50
_RESUME = "What was copied so far is kept. Run the same command again: it continues."


@dataclass(frozen=True, slots=True)
class Task:
    """What to bring to one repository. `thorough`: also look into points that have been there for long."""

    repository: str
    points: Sequence[RecoveryPoint]
    thorough: bool
    dry_run: bool


@dataclass(frozen=True, slots=True)
class CopyOutcome:
    """What became of one repository: a plan and, unless it was a dry run, a result; or the error that stopped it."""

    repository: str
    plan: CopyPlan | None = None
    result: CopyResult | None = None
    error: BackupError | None = None

    @property
    def findings(self) -> list[tuple[str | None, str]]:
        """The points that are not copied, None for objects of `keys/`, and why."""
        done = self.result or self.plan
        found: list[tuple[str | None, str]] = list(done.findings.items()) if done else []
        return found + [(None, text) for text in (self.result.key_problems if self.result else ())]

    @property
    def passed(self) -> bool:
        return self.error is None and not self.findings


def copy(
    ctx: typer.Context,
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCE|POINT", help="Sources or single points. [default: all that the plan copies]"
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="NAME", help="Copy to this repository only. [default: all that the sources name]"
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be copied, and write nothing.")
    ] = False,
) -> int:
    """Copy recovery points to the other repositories of the plan. Only missing data is transferred.

    The newest points are copied first. An unreachable repository or a damaged point does not stop the others: the exit
    code is then 1, or that of the error if there is only one repository. Points that retention has forgotten in a copy
    are not copied again. Needs no identity.

    \b
    Examples:
      backup-platform copy
      backup-platform copy shop --to offsite --dry-run
      backup-platform copy shop@latest
    """
    session = session_of(ctx)
    session.resume = _RESUME
    sources = [word for word in what or session.app.plan.sources if not _names_point(session, word)]
    wanted = _wanted(session, what or [], to)
    damaged = [text for source in sources for text in session.app.points.unreadable(source)]
    outcomes: list[CopyOutcome] = []
    for name, points in wanted.items():
        task = Task(name, points, thorough=not sources, dry_run=dry_run)
        outcomes.append(_attempt(session, task, alone=len(wanted) == 1))
        _describe(session, outcomes[-1])
    for text in damaged:
        session.out.line(f"  {session.out.paint('x', 'bad')} {text}")
    session.out.document(
        {"results": [_shape(session, each) for each in outcomes], "damaged_manifests": list[Json](damaged)}
    )
    return 0 if not damaged and all(each.passed for each in outcomes) else 1


def _wanted(session: CliSession, given: Sequence[str], to: str | None) -> dict[str, list[RecoveryPoint]]:
    """The points to copy by repository. Raises UsageError when there is none to copy to, NotFoundError."""
    plan, own = session.app.plan, session.app.repository_name
    name = plan.known_repository(to) if to else None
    if name == own:
        raise UsageError(
            f"{own} is where the points are copied from.",
            hint="Leave --to out, or say with --repository which repository to copy from.",
        )
    wanted: dict[str, list[RecoveryPoint]] = {}
    for word in given or [source for source in plan.sources if not name or _belongs(plan, source, name)]:
        points = _points(session, word)
        source = points[0].source if points else word
        for repository in [name] if name else _copies_of(plan, source):
            if repository != own or name:
                wanted.setdefault(repository, []).extend(points)
    if not wanted and session.repository:
        raise UsageError(
            f"No other repository holds copies of {own} by the plan.",
            hint=f"Say where to: {session.command('copy', '--to', 'NAME')}.",
        )
    if not wanted:
        raise UsageError(
            "There is no repository to copy to.",
            hint="Name a second one in the plan, and say `repositories: [main, offsite]` in a source.",
        )
    return wanted


def _belongs(plan: Plan, source: str, repository: str) -> bool:
    return repository in (next(iter(plan.repositories)), *plan.copies_of(source))


def _copies_of(plan: Plan, source: str) -> list[str]:
    return plan.copies_of(source) if source in plan.sources else []


def _points(session: CliSession, word: str) -> list[RecoveryPoint]:
    return [session.app.points.find(word)] if _names_point(session, word) else session.app.points.all(word)


def _names_point(session: CliSession, word: str) -> bool:
    """Whether a word names a point. Sources that are no longer in the plan count as well."""
    return word not in session.app.plan.sources and bool(re.search("@|^[0-9a-f]{6,64}$", word))


def _attempt(session: CliSession, task: Task, *, alone: bool) -> CopyOutcome:
    """Copy to one of several repositories: its failure is its outcome."""
    name = task.repository
    try:
        return _copy(session, task)
    except BackupError as error:
        if alone:
            raise
        outcome = CopyOutcome(name, error=error)
    except Exception as error:
        outcome = CopyOutcome(name, error=unexpected(session, error))
    if outcome.error is not None:
        report(session, outcome.error, about=name)
    return outcome


def _copy(session: CliSession, task: Task) -> CopyOutcome:
    name = task.repository
    copying = session.app.at(name).copies.copying(session.app.repository)
    with session.progress(f"copy to {name}") as progress:
        plan = copying.plan(task.points, thorough=task.thorough)
        return CopyOutcome(name, plan, None if task.dry_run else copying.run(plan, progress))


def _describe(session: CliSession, outcome: CopyOutcome) -> None:
    out, plan, result = session.out, outcome.plan, outcome.result
    if plan is None:
        out.line(f"{outcome.repository}: {out.paint('FAILED', 'bad')}")
        return
    if result is None:
        out.line(
            f"{outcome.repository}: {_amount(len(plan.steps), plan.packs, plan.size)} to copy{_others(plan)}"
        )
        _describe_steps(session, plan)
    else:
        done = f"copied {_amount(len(result.copied), result.packs, result.bytes)}"
        word = "" if result.passed else f"{out.paint('INCOMPLETE', 'bad')}, "
        out.line(f"{outcome.repository}: {word}{done}, in {words.duration(result.duration_s)}{_others(plan)}")
    texts = list(dict.fromkeys(text for _, text in outcome.findings))
    for text in texts[:LINES_SHOWN]:
        out.line(f"  {out.paint('x', 'bad')} {text}")


def _describe_steps(session: CliSession, plan: CopyPlan) -> None:
    for step in plan.steps[:LINES_SHOWN]:
        point, size = step.point, words.size(sum(step.packs.values()))
        session.out.line(f"  {words.point_name(point)}  {size}")
    if len(plan.steps) > LINES_SHOWN:
        session.out.line(f"  {words.more(len(plan.steps) - LINES_SHOWN)}; --json lists all")


def _amount(points: int, packs: int, size: int) -> str:
    return f"{words.how_many(points, 'recovery point')}, {words.how_many(packs, 'pack')} ({words.size(size)})"


def _others(plan: CopyPlan) -> str:
    kept = f"; {words.count(len(plan.kept))} there already" if plan.kept else ""
    return kept + (f"; {words.count(len(plan.forgotten))} forgotten there" if plan.forgotten else "")


def _shape(session: CliSession, outcome: CopyOutcome) -> dict[str, Json]:
    plan, result = outcome.plan, outcome.result
    shape: dict[str, Json] = {
        "repository": outcome.repository,
        "outcome": "failed" if plan is None else _word(outcome),
        "error": session.error_object(outcome.error) if outcome.error else None,
    }
    if plan is None:
        return shape
    points: Sequence[RecoveryPoint] = plan.points if result is None else result.copied
    findings: list[Json] = [{"point": point, "text": text} for point, text in outcome.findings]
    return {
        **shape,
        "location": plan.target,
        "points": [shapes.point(point) for point in points],
        "kept": len(plan.kept),
        "forgotten": len(plan.forgotten),
        "packs": plan.packs if result is None else result.packs,
        "bytes": plan.size if result is None else result.bytes,
        "duration_s": None if result is None else result.duration_s,
        "findings": findings,
    }


def _word(outcome: CopyOutcome) -> str:
    if outcome.result is None:
        return "planned"
    return "copied" if outcome.passed else "incomplete"
