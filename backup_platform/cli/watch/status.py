"""`status`: whether everything is protected, and what to do where it is not."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from backup_platform.advice import command
from backup_platform.cli.context import CliSession, session_of
from backup_platform.cli.display.table import Cell, TableColumn, print_table
from backup_platform.domain.words import DAY_S, count, days, how_many, listing, size, span
from backup_platform.errors import UsageError

if TYPE_CHECKING:
    from datetime import timedelta

    from backup_platform.advice import Hint
    from backup_platform.domain.status.objectives import Objective
    from backup_platform.domain.status.values import PlanStatus, RepositoryStatus, SourceStatus
    from backup_platform.domain.status.words import RepositoryState, SourceState

BAD = 1
EVERY = "60s"
SHORTEST_S, LONGEST_S = 1, 365 * DAY_S
SOURCES = (
    TableColumn("STATE"),
    TableColumn("SOURCE"),
    TableColumn("LAST POINT"),
    TableColumn("AGE", right=True),
    TableColumn("RPO", right=True, drop=3),
    TableColumn("PROVEN", right=True),
    TableColumn("RESTORE", right=True, drop=1),
    TableColumn("RTO", right=True, drop=3),
    TableColumn("MISSED", right=True, drop=2),
    TableColumn("SIZE", right=True, drop=4),
)
REPOSITORIES = (
    TableColumn("STATE"),
    TableColumn("REPOSITORY"),
    TableColumn("POINTS", right=True),
    TableColumn("STORED", right=True),
    TableColumn("FREE", right=True, drop=1),
    TableColumn("FULL IN", right=True, drop=2),
    TableColumn("OLDEST UNREAD", right=True, drop=3),
)


def status(
    ctx: typer.Context,
    watch: Annotated[bool, typer.Option("--watch", help="Look again and again, until Ctrl-C.")] = False,
    every: Annotated[str, typer.Option("--every", metavar="TIME", help="With --watch: how often.")] = EVERY,
) -> int:
    """Tell whether everything is backed up, proven, copied and in time: one line a source, the worst first.

    Below each line that is not fine stands what to do. The exit code is 0 when nobody has to act, and 1 otherwise, also
    where a repository does not answer. Colours: green is fine, yellow can wait, red cannot.

    \b
    Examples:
      backup-platform status
      backup-platform status --json
      backup-platform status --watch --every 5min
    """
    session, pausing = session_of(ctx), _parsed(every)
    if not watch:
        return _look(session)
    if session.json:
        raise UsageError("--watch shows text, and no JSON.", hint="Leave out one of --watch and --json.")
    return _watch(session, pausing)


def _parsed(every: str) -> timedelta:
    from backup_platform.plan.values import parse_duration

    try:
        pausing = parse_duration(every)
    except ValueError as error:
        raise UsageError(f"--every {every}: {error}.") from error
    if not SHORTEST_S <= pausing.total_seconds() <= LONGEST_S:
        raise UsageError(
            f"--every {every}: it must be from 1s to 365d.", hint="Write a time like --every 5min."
        )
    return pausing


def pause(seconds: float) -> None:
    """Wait. Ctrl-C ends it."""
    threading.Event().wait(seconds)


def _watch(session: CliSession, every: timedelta) -> int:
    code = 0
    try:
        while True:
            if session.out.terminal:
                session.out.clear()
            code = _look(session)
            session.out.flush()
            pause(every.total_seconds())
    except KeyboardInterrupt:  # how a watch ends
        return code


def _look(session: CliSession) -> int:
    found = session.app.state.look(_unprotected(session))
    if session.json:
        from backup_platform.cli.watch.shapes import plan_shape

        session.out.document(plan_shape(session, found))
    else:
        _show(session, found)
    return 0 if found.is_fine else BAD


def _unprotected(session: CliSession) -> list[str]:
    """What the plan's `coverage` finds in no source, and what it cannot look at."""
    app = session.app
    return [each.message for each in app.setup.coverage().gaps] if app.plan.coverage else []


def _show(session: CliSession, found: PlanStatus) -> None:
    repositories = found.repositories
    below = [
        [_told(session, each.text, each.advice, one.repository) for each in one.findings]
        for one in repositories
    ]
    print_table(session.out, REPOSITORIES, [_repository_row(each) for each in repositories], below)
    session.out.line()
    sources = found.sources
    told = [[_told(session, each.text, each.advice) for each in one.findings] for one in sources]
    print_table(session.out, SOURCES, [_source_row(each, found) for each in sources], told)
    for each in found.unprotected:
        session.out.line(f"{session.out.paint('unprotected', 'bad')}  {each}")
    if found.unprotected:
        advice = ("Run ", command("coverage"), ": it has the lines for the plan.")
        session.out.line(f"    {session.written(advice)}")
    session.out.line()
    session.out.line(_summary(session, found))


def _told(session: CliSession, text: str, advice: Hint, about: str = "") -> str:
    """A finding and what to do. Findings of errors are sentences and end with a full stop already."""
    return f"    {text.rstrip('.')}. {session.written(advice, about)}" if advice else f"    {text}"


def _source_row(status: SourceStatus, whole: PlanStatus) -> list[Cell]:
    last, age = status.last, status.proof_age(whole.at)
    missed = status.missed
    return [
        _state(status.state),
        Cell(status.source),
        Cell(last.window.key if last else "none", "" if last else "bad"),
        _measured(status.rpo),
        _wanted(status.rpo),
        Cell(_span(age), "" if age is not None else "warn"),
        _measured(status.rto),
        _wanted(status.rto),
        Cell("?" if missed is None else count(len(missed.missed))),
        Cell(size(last.source_bytes) if last else "-"),
    ]


def _repository_row(status: RepositoryStatus) -> list[Cell]:
    oldest, full = status.oldest_unread_s, status.days_until_full
    return [
        _state(status.state),
        Cell(status.repository),
        Cell("?" if status.points is None else count(status.points)),
        Cell("?" if status.stored is None else size(status.stored)),
        Cell("-" if status.free is None else size(status.free)),
        Cell("-" if full is None else days(full)),
        Cell("-" if oldest is None else days(oldest / DAY_S)),
    ]


def _state(state: SourceState | RepositoryState) -> Cell:
    return Cell(state.value, "bad" if state.is_bad else "good" if state.value == "fine" else "warn")


def _measured(objective: Objective) -> Cell:
    return Cell(_span(objective.measured), "bad" if objective.is_missed else "")


def _wanted(objective: Objective) -> Cell:
    return Cell(_span(objective.wanted))


def _span(amount: timedelta | None) -> str:
    return "-" if amount is None else span(amount)


def _summary(session: CliSession, found: PlanStatus) -> str:
    out = session.out
    sources = _counted([each.state for each in found.sources])
    repositories = _counted([each.state for each in found.repositories])
    text = f"{how_many(len(found.sources), 'source')}: {sources}. "
    text += f"{how_many(len(found.repositories), 'repository', 'repositories')}: {repositories}."
    if found.unprotected:
        text += f" {how_many(len(found.unprotected), 'gap')} in coverage."
    verdict = out.paint("fine", "good") if found.is_fine else out.paint("not fine", "bad")
    return f"{verdict}  {text}"


def _counted(states: Sequence[SourceState | RepositoryState]) -> str:
    """`1 overdue, 2 unproven and 9 fine`: they are in the order of urgency."""
    return listing(f"{amount:,} {state.value}" for state, amount in Counter(states).items())
