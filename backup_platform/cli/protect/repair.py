"""`repair`: put back what is damaged or missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from backup_platform.advice import command
from backup_platform.cli.context import CliSession, session_of
from backup_platform.cli.display.table import Cell, TableColumn, print_table
from backup_platform.cli.keep.consent import DRY_RUN, YES, consented
from backup_platform.domain import words
from backup_platform.domain.model import Json
from backup_platform.errors import DamageError, RepositoryMissingError

if TYPE_CHECKING:
    from backup_platform.actions.repair.plan import RepairPlan, RepairResult, RepairStep

DONORS = Annotated[
    list[str] | None,
    typer.Option(
        "--from", metavar="NAME", help="Take objects from this repository of the plan. [default: all others]"
    ),
]
_COLUMNS = (
    TableColumn("what"),
    TableColumn("object"),
    TableColumn("from", drop=1),
    TableColumn("size", right=True),
    TableColumn("why"),
)


def repair(ctx: typer.Context, donors: DONORS = None, dry_run: DRY_RUN = False, yes: YES = False) -> int:
    """Replace damaged and missing objects, from what the packs hold and from the plan's other repositories.

    Sound objects are never overwritten. Run `verify` first: it finds the damage that `repair` removes.
    repository.json is only taken from a copy that --from names.

    \b
    Examples:
      backup-platform repair
      backup-platform --repository offsite repair --from main --yes
    """
    session = session_of(ctx)
    if not _root_is_there(session, donors or [], act=consented(session, dry_run=dry_run, yes=yes)):
        return 1
    mending = session.app.maintenance.repair(donors or [])
    with session.progress("repair: looking") as progress:
        plan = mending.plan(progress)
    out = session.out
    _print_plan(session, plan)
    if not consented(session, dry_run=dry_run, yes=yes):
        out.document({"dry_run": True, "plan": _plan_shape(plan), "result": None})
        if plan.steps:
            out.line(f"Nothing was changed. To repair it: {_again(session, donors or [])}")
        return 0 if plan.nothing_wrong else 1
    with session.progress("repair") as progress:
        result = mending.run(plan, progress)
    out.document({"dry_run": False, "plan": _plan_shape(plan), "result": _result_shape(result)})
    _print_result(session, plan, result)
    return 0 if result.sound and not plan.lost else 1


def _root_is_there(session: CliSession, donors: list[str], *, act: bool) -> bool:
    """Whether there is a repository to look at, after `repository.json` was put back if need be.

    Raises RepositoryMissingError or DamageError, when no single copy was named to take it from.
    """
    try:
        session.app.repository  # noqa: B018  whether it opens
    except (RepositoryMissingError, DamageError) as error:
        if len(donors) != 1:
            puts_back = " puts repository.json back from a copy, if there was a repository."
            error.advice = (command("repair", "--from", "NAME"), puts_back)
            raise
    else:
        return True
    mending = session.app.maintenance.repair_root(donors[0])
    problem, evidence = mending.needed(), mending.require_same()
    session.out.line(f"repository.json {problem}: {donors[0]} has it, and {evidence} fits.")
    if act:
        mending.run()
        session.out.line("It was restored.")
        return True
    session.out.document({"dry_run": True, "repository.json": problem, "from": donors[0]})
    session.out.line(f"Nothing was changed. To repair it: {_again(session, donors)}")
    return False


def _again(session: CliSession, donors: list[str]) -> str:
    return session.command("repair", *(word for name in donors for word in ("--from", name)), "--yes")


def _print_plan(session: CliSession, plan: RepairPlan) -> None:
    out = session.out
    if plan.steps:
        print_table(out, _COLUMNS, [_row(step) for step in plan.steps])
    for text in plan.notes:
        out.line(f"note: {text}")
    for text in plan.lost:
        out.line(out.paint("LOST  ", "bad") + text)
    for text in plan.unexpected:
        out.line(out.paint("x     ", "bad") + text)
    if plan.nothing_wrong:
        out.line("Nothing to repair: no object is known to be damaged or missing.")
        out.line(f"To search for unknown damage: `{session.command('verify')}`.")


def _row(step: RepairStep) -> list[Cell]:
    short = f"{step.key.partition('/')[0]}/…{step.key[-12:]}"
    size = words.size(step.size) if step.size else ""
    return [
        Cell(step.act.value),
        Cell(step.key, "", short),
        Cell(", ".join(step.donors)),
        Cell(size),
        Cell(step.why.removeprefix(f"The object {step.key} is ").removesuffix(".")),
    ]


def _print_result(session: CliSession, plan: RepairPlan, result: RepairResult) -> None:
    out = session.out
    for text in result.failed:
        out.line(f"{out.paint('FAILED', 'bad')} {text}")
    for text in result.remaining:
        out.line(f"  {out.paint('x', 'bad')} {text}")
    if plan.steps:
        done, size = words.how_many(len(result.done), "object"), words.size(result.bytes)
        out.line(f"Repaired {done}, {size} copied, in {words.duration(result.duration_s)}.")
    if plan.lost or not result.sound:
        out.line("Some damage is left. docs/repair.md says what to do about data that no repository has.")
    elif result.done:
        out.line(f"To check the result: {session.command('verify')}")


def _plan_shape(plan: RepairPlan) -> dict[str, Json]:
    return {
        "steps": [_step_shape(step) for step in plan.steps],
        "bytes": plan.size,
        "lost": list[Json](plan.lost),
        "unexpected": list[Json](plan.unexpected),
        "notes": list[Json](plan.notes),
    }


def _step_shape(step: RepairStep) -> dict[str, Json]:
    return {
        "act": step.act.value,
        "object": step.key,
        "from": list[Json](step.donors),
        "bytes": step.size,
        "why": step.why,
        "point": step.point.id if step.point else None,
    }


def _result_shape(result: RepairResult) -> dict[str, Json]:
    return {
        "sound": result.sound,
        "mended": [step.key for step in result.done],
        "failed": list[Json](result.failed),
        "remaining": list[Json](result.remaining),
        "bytes": result.bytes,
        "duration_s": result.duration_s,
    }
