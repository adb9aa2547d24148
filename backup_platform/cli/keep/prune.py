"""`prune`: delete what no recovery point needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from backup_platform.cli.context import session_of
from backup_platform.cli.display import formats
from backup_platform.cli.display import json_shapes as shapes
from backup_platform.cli.display.output import Output
from backup_platform.cli.keep.consent import DRY_RUN, YES, consented
from backup_platform.domain import words
from backup_platform.domain.model import Json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backup_platform.actions.prune.plan import PrunePlan
    from backup_platform.actions.prune.run import PruneSummary
    from backup_platform.domain.ports import StoredObject

NAMED = 5
MOST_LISTED = 100
_RESUME = "Nothing is lost: the next prune continues."


def prune(
    ctx: typer.Context,
    dry_run: DRY_RUN = False,
    yes: YES = False,
    grace: Annotated[
        str | None,
        typer.Option(
            "--grace", metavar="TIME", help="Time between marking and deleting. [default: the plan's, or 24h]"
        ),
    ] = None,
) -> int:
    """Free the space of data that no recovery point needs any more, in two phases.

    One run marks the packs that nothing needs. A later run deletes them, when the grace time is over. Prune may run
    beside backups and restores, and you may interrupt it at any time.

    If a manifest or an inventory cannot be read, nothing is deleted and the exit code is 1. The exit code is also 1
    if the store refuses a deletion; locked objects are only counted, and a later run deletes them. Prune removes no
    recovery point: `forget` does.

    \b
    Examples:
      backup-platform prune
      backup-platform prune --yes
      backup-platform prune --yes --grace 0
    """
    session = session_of(ctx)
    pruning = session.app.maintenance.pruning(grace)
    plan, out = pruning.plan(), session.out
    _print_plan(out, plan)
    if plan.refusals or not consented(session, dry_run=dry_run, yes=yes):
        out.document({"dry_run": True, "plan": _plan_shape(plan), "result": None})
        if not plan.empty and not plan.refusals:
            again = session.command("prune", *(["--grace", grace] if grace else []), "--yes")
            out.line(f"Nothing was changed. To do it: {again}")
        return 1 if plan.refusals else 0
    session.resume = _RESUME
    with session.progress("prune") as progress:
        summary = pruning.run(plan, progress)
    out.document({"dry_run": False, "plan": _plan_shape(plan), "result": _summary_shape(summary)})
    _print_summary(out, summary)
    return 1 if summary.damaged or summary.disputed or summary.false_claims or summary.refused else 0


def _print_plan(out: Output, plan: PrunePlan) -> None:
    for text in plan.refusals[:10]:
        out.line(f"{out.paint('DAMAGED', 'bad')} {text}")
    if plan.refusals:
        out.line("Nothing is deleted, because it is unknown which packs are needed.")
        return
    used = f"{words.how_many(plan.packs, 'pack')}, {words.size(plan.pack_bytes)}"
    out.line(f"{used}; {words.size(plan.wasted_bytes)} of it is waste in partly used packs")
    steps: dict[str, Sequence[StoredObject]] = {
        "to delete": plan.delete,
        f"to mark, for {words.duration(plan.grace.total_seconds())} before they go": plan.condemn,
        "marked, still waiting": plan.waiting,
    }
    for what, some in steps.items():
        if some:
            out.line(f"  {_counted(some, 'pack')} {what}")
    _print_doubts(out, plan)
    if plan.rewrite:
        saved = words.size(plan.rewrite_saves)
        out.line(f"  {_counted(plan.rewrite, 'pack')} to rewrite, which saves {saved}")
    if plan.needs_identity:
        size = words.size(plan.needs_identity)
        out.line(f"  {size} more could be saved on a host with an identity")
    if plan.merge_indexes or plan.delete_indexes:
        merged = words.how_many(len(plan.merge_indexes), "index", "indexes")
        out.line(f"  {merged} to merge, {_counted(plan.delete_indexes, 'index', 'indexes')} to delete")
    if plan.drafts:
        out.line(f"  {_counted(plan.drafts, 'draft')} of killed writers, to delete")
    if plan.proofs:
        proofs = [each for some in plan.proofs.values() for each in some]
        out.line(f"  {_counted(proofs, 'proof')} of forgotten points, to delete")
    if plan.empty and not plan.waiting:
        out.line("Nothing to do.")


def _print_doubts(out: Output, plan: PrunePlan) -> None:
    if plan.doubted:
        what = "said to hold the data of older packs; only an identity can tell which are right, so all stay"
        out.line(f"  {_counted(plan.doubted, 'pack')} {what}")
        newest = sorted(plan.doubted, key=lambda pack: pack.modified, reverse=True)
        for pack in newest[:NAMED]:
            out.line(f"    {pack.key}, stored {formats.instant(pack.modified, 'UTC')} UTC")
        out.line("    On a host with an identity, prune decodes them, and deletes wrong and duplicate ones.")
    for key in sorted(plan.disputed)[:NAMED]:
        out.line(f"  {out.paint('DISPUTED', 'bad')} {key}: indexes disagree about this pack")


def _counted(some: Sequence[StoredObject], one: str, many: str = "") -> str:
    return f"{words.how_many(len(some), one, many)} ({words.size(sum(each.size for each in some))})"


def _print_summary(out: Output, summary: PruneSummary) -> None:
    freed, packs = words.size(summary.freed_bytes), words.how_many(summary.packs_deleted, "pack")
    out.line(f"freed {freed}: {packs} deleted, in {words.duration(summary.duration_s)}")
    if summary.packs_condemned:
        size = words.size(summary.condemned_bytes)
        out.line(f"  {words.how_many(summary.packs_condemned, 'pack')} ({size}) marked for a later run")
    if summary.packs_rewritten:
        size = words.size(summary.rewritten_bytes)
        out.line(f"  {words.how_many(summary.packs_rewritten, 'pack')} rewritten, as {size}")
    if summary.locked:
        what = f"{words.how_many(summary.locked, 'object')} ({words.size(summary.locked_bytes)})"
        out.line(f"  {out.paint('left', 'warn')}: {what} locked by the store, for a later run")
    if summary.refused:
        what = f"{words.how_many(summary.refused, 'object')} ({words.size(summary.refused_bytes)})"
        out.line(f"  {out.paint('REFUSED', 'bad')} {what} not deleted: {summary.refusal}")
    if summary.damaged:
        what = words.how_many(summary.damaged, "pack")
        out.line(
            f"  {out.paint('DAMAGED', 'bad')} {what} with wrong contents: marked. Other packs with the same blobs "
            "stay. `verify` shows whether a point needs the damaged packs."
        )
    if summary.false_claims:
        what = words.how_many(summary.false_claims, "pack")
        out.line(
            f"  {out.paint('DAMAGED', 'bad')} Indexes make false claims about {what}, or nobody here can check them: "
            "recorded in the ledger. `doctor` and `verify` tell of it until somebody deletes the record."
        )
    if summary.disputed:
        what = words.how_many(summary.disputed, "pack")
        out.line(
            f"  {out.paint('DISPUTED', 'bad')} Indexes disagree about {what}: somebody with write access stored a "
            "wrong one."
        )


def _plan_shape(plan: PrunePlan) -> dict[str, Json]:
    return {
        "store_time": shapes.moment(plan.now),
        "grace_s": plan.grace.total_seconds(),
        "refusals": list[Json](plan.refusals),
        "packs": plan.packs,
        "pack_bytes": plan.pack_bytes,
        "wasted_bytes": plan.wasted_bytes,
        "delete": _objects(plan.delete),
        "condemn": _objects(plan.condemn),
        "waiting": _objects(plan.waiting),
        "doubted": _objects(plan.doubted),
        "doubted_packs": list[Json]([each.key for each in plan.doubted[:MOST_LISTED]]),
        "disputed_packs": list[Json](sorted(plan.disputed)[:MOST_LISTED]),
        "rewrite": _objects(plan.rewrite),
        "rewrite_saves_bytes": plan.rewrite_saves,
        "needs_identity_bytes": plan.needs_identity,
        "indexes_to_merge": len(plan.merge_indexes),
        "indexes_to_delete": _objects(plan.delete_indexes),
        "drafts_to_delete": _objects(plan.drafts),
        "proofs_to_delete": _objects([each for some in plan.proofs.values() for each in some]),
    }


def _objects(some: Sequence[StoredObject]) -> dict[str, Json]:
    return {"count": len(some), "bytes": sum(each.size for each in some)}


def _summary_shape(summary: PruneSummary) -> dict[str, Json]:
    from dataclasses import asdict

    return asdict(summary)
