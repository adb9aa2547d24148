"""`retention` and `forget`: which recovery points stay and why, and forgetting the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from backup_platform.cli.arguments import ONE_SOURCE
from backup_platform.cli.context import CliSession, session_of
from backup_platform.cli.display import formats
from backup_platform.cli.display import json_shapes as shapes
from backup_platform.cli.display.output import Output
from backup_platform.cli.display.table import Cell, TableColumn, print_table
from backup_platform.cli.keep.consent import DRY_RUN, YES, consented
from backup_platform.domain import words
from backup_platform.domain.model import Json, RecoveryPoint
from backup_platform.errors import UsageError

if TYPE_CHECKING:
    from backup_platform.actions.forget.run import ForgetPlan, ForgetSummary, Judged

_COLUMNS = (
    TableColumn("source"),
    TableColumn("window"),
    TableColumn("captured", drop=1),
    TableColumn("id"),
    TableColumn("decision"),
    TableColumn("why"),
)


def retention(
    ctx: typer.Context,
    source: ONE_SOURCE = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show all reasons. [default: the first one of each point]")
    ] = False,
) -> int:
    """Show which recovery points stay, which ones `forget` would remove, and why. Changes nothing.

    \b
    Examples:
      backup-platform retention
      backup-platform retention shop --explain
    """
    session = session_of(ctx)
    plan, out = _plan(session, source), session.out
    out.document({"points": [_judged(each) for each in plan.judged], "blocked": _blocked(plan)})
    if plan.judged:
        print_table(out, _COLUMNS, [_row(each, explain=explain) for each in plan.judged])
    _print_standing(out, plan)
    return 1 if plan.blocked else 0


def forget(
    ctx: typer.Context,
    source: ONE_SOURCE = None,
    dry_run: DRY_RUN = False,
    yes: YES = False,
    lost: Annotated[
        bool,
        typer.Option("--lost", help="Give up the points that SOURCE has lost, instead of forgetting others."),
    ] = False,
) -> int:
    """Remove the recovery points that the plan's `keep` does not keep. `prune` then frees their space.

    Some points always stay: points that are held, the newest point of each source, and its newest proven point. If a
    manifest of a source is damaged, all points of that source stay.

    --lost is for points that are gone and that no copy has. Points that `verify` or the check `authentic` misses are
    recorded as gone, and manifests that cannot be read are deleted.

    \b
    Examples:
      backup-platform forget
      backup-platform forget shop --yes
    """
    session = session_of(ctx)
    if lost:
        return _give_up(session, source, dry_run=dry_run, yes=yes)
    act = consented(session, dry_run=dry_run, yes=yes)
    plan, out = _plan(session, source), session.out
    if plan.forget:
        print_table(out, _COLUMNS, [_row(each, explain=True) for each in plan.forget])
    _print_standing(out, plan)
    if not act:
        out.document({"dry_run": True, "plan": _plan_shape(plan), "result": None})
        if plan.forget:
            again = session.command("forget", *([source] if source else []), "--yes")
            out.line(f"Nothing was changed. To forget them: {again}")
        return 1 if plan.blocked else 0
    with session.progress("forget") as progress:
        summary = session.app.maintenance.retention.run_forget(plan, progress)
    out.document({"dry_run": False, "plan": _plan_shape(plan), "result": _summary_shape(summary)})
    _print_summary(session, summary)
    return 1 if summary.refused or summary.locked or summary.blocked else 0


def _plan(session: CliSession, source: str | None) -> ForgetPlan:
    """Raises NotFoundError for a source that neither the plan nor the repository has."""
    plan = session.app.maintenance.retention.plan_forget([source] if source else [])
    if source and not plan.judged and not plan.blocked:
        session.app.points.all(source)
    return plan


def _give_up(session: CliSession, source: str | None, *, dry_run: bool, yes: bool) -> int:
    if source is None:
        raise UsageError("--lost needs a source.", hint="Name it.")
    giving_up, out = session.app.maintenance.giving_up, session.out
    lost = giving_up.lost(source)
    done = consented(session, dry_run=dry_run, yes=yes)
    if done:
        lost = giving_up.run(lost)
    points: list[Json] = [
        {
            "sequence": each.sequence,
            "point": each.known.point if each.known else None,
            "damage": each.damage or None,
        }
        for each in lost
    ]
    out.document({"dry_run": not done, "lost": points})
    for each in lost:
        name = f" ({each.known.window.key}, {each.known.point[: words.ID_SHOWN]})" if each.known else ""
        out.line(f"{source}: recovery point {each.sequence}{name} is lost. {each.damage}".rstrip())
    if not lost:
        out.line(f"No recovery point of {source} is lost.")
    elif done:
        out.line(f"Recorded that {words.how_many(len(lost), 'recovery point')} are gone for good.")
    else:
        out.line(f"If there is a copy, copy them back: {session.command('repair')}")
        out.line(
            f"Otherwise record that they are gone: {session.command('forget', source, '--lost', '--yes')}"
        )
    return 0


def _row(judged: Judged, *, explain: bool) -> list[Cell]:
    point, decision = judged
    reasons = list(decision.reasons)
    return [
        Cell(point.source),
        Cell(point.window.key),
        Cell(formats.instant(point.captured_at, point.timezone)),
        Cell(point.id[: words.ID_SHOWN], "", point.id[:8]),
        Cell("keep", "good") if decision.keep else Cell("forget", "warn"),
        Cell("; ".join(reasons) if explain else reasons[0], "", reasons[0]),
    ]


def _print_standing(out: Output, plan: ForgetPlan) -> None:
    for text in plan.blocked.values():
        out.line(out.paint("DAMAGED ", "bad") + text)
    stay, go = words.how_many(plan.kept, "point stays", "points stay"), words.count(len(plan.forget))
    out.line(f"{stay}, {go} to forget." if plan.judged else "There are no recovery points.")


def _print_summary(session: CliSession, summary: ForgetSummary) -> None:
    out = session.out
    for point, why in (*summary.kept, *summary.refused, *summary.locked):
        out.line(f"kept {words.point_name(point)}: {why}")
    count = words.how_many(len(summary.forgotten), "recovery point")
    freed = f" `{session.command('prune')}` frees what only they needed." if summary.forgotten else ""
    out.line(f"Forgot {count}.{freed}")


def _judged(judged: Judged) -> dict[str, Json]:
    reasons: list[Json] = [*judged.decision.reasons]
    return {**shapes.point(judged.point), "keep": judged.decision.keep, "reasons": reasons}


def _blocked(plan: ForgetPlan) -> list[Json]:
    return [{"source": source, "text": text} for source, text in plan.blocked.items()]


def _plan_shape(plan: ForgetPlan) -> dict[str, Json]:
    return {
        "forget": [_judged(each) for each in plan.forget],
        "kept": plan.kept,
        "blocked": _blocked(plan),
    }


def _summary_shape(summary: ForgetSummary) -> dict[str, Json]:
    def left(points: Sequence[tuple[RecoveryPoint, str]]) -> list[Json]:
        return [{"point": point.id, "source": point.source, "reason": why} for point, why in points]

    return {
        "forgotten": [each.point for each in summary.forgotten],
        "kept": left(summary.kept),
        "refused": left(summary.refused),
        "locked": left(summary.locked),
    }
