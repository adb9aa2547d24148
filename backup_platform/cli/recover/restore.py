"""`restore`: bring back a recovery point, or a part of it, into a directory or a database server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from backup_platform.cli.arguments import POINT
from backup_platform.cli.context import CliSession, session_of
from backup_platform.cli.display import json_shapes as shapes
from backup_platform.cli.display.names import printable
from backup_platform.cli.recover.restore_database import Wishes, refuse_of_directory, restore_database
from backup_platform.domain import words
from backup_platform.domain.model import Json
from backup_platform.errors import IncompleteError, TargetError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backup_platform.actions.restore.run import RestorePlan, RestoreSummary
    from backup_platform.cli.display.output import Output

LISTED = 10
_MANY = {"directory": "directories", "other": "others"}
_RESUME = "Run the same command again: it continues where it stopped."


def restore(
    ctx: typer.Context,
    point: POINT,
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH", help="Only these paths and everything below them. [default: all]"),
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="DIR", help="The directory to restore into.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
    into: Annotated[
        str | None, typer.Option("--into", metavar="URL", help="The database to restore into.")
    ] = None,
    create: Annotated[bool, typer.Option("--create", help="Create the database of --into.")] = False,
    schemas: Annotated[
        list[str] | None, typer.Option("--schema", metavar="S", help="Only this schema (repeatable).")
    ] = None,
    tables: Annotated[
        list[str] | None, typer.Option("--table", metavar="T", help="Only this table (repeatable).")
    ] = None,
    data_only: Annotated[
        bool, typer.Option("--data-only", help="Restore only rows, into existing tables.")
    ] = False,
    schema_only: Annotated[
        bool, typer.Option("--schema-only", help="Restore only definitions, without rows.")
    ] = False,
    occupied: Annotated[bool, typer.Option("--occupied", help="Allow a database that is not empty.")] = False,
    jobs: Annotated[
        str | None,
        typer.Option("--jobs", metavar="N", help="Number of connections to the server. [default: 2]"),
    ] = None,
    owner: Annotated[
        bool | None, typer.Option("--owner/--no-owner", help="Restore the owners of objects.")
    ] = None,
    privileges: Annotated[
        bool | None, typer.Option("--privileges/--no-privileges", help="Restore grants.")
    ] = None,
    exit_on_error: Annotated[
        bool, typer.Option("--exit-on-error", help="Stop after the first step with a failure.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="List all failures, each with its entry in schema.dump.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")] = False,
) -> int:
    """Restore a recovery point, or a part of it, into a directory or into a database.

    Existing files are not replaced without --overwrite. Written files are read back and compared. If a restore into a
    directory was interrupted, run the same command again: it continues.

    The exit code is 3 if a part of what you asked for is not in the recovery point, or could not be restored. That
    part is listed, and the rest is restored. With --dry-run you get the exit code that the restore would have, as far
    as it can be known.

    With --into, the point of a database is restored into a server. The URL is that of libpq. It needs no password:
    libpq takes it from PGPASSWORD or ~/.pgpass. The database must exist and be empty, or --create creates it. Objects
    that the server refuses are listed at the end, and the exit code is 3. A role that is not a superuser may need
    --no-owner and --no-privileges.

    \b
    Examples:
      backup-platform restore shop@latest --to /tmp/shop
      backup-platform restore uploads@2026-11-21 photos/cat.jpg --to . --dry-run
      backup-platform restore sales@latest --into postgresql://dba@db2/sales_copy --create
      backup-platform restore sales@latest --into postgresql://dba@db2/scratch --table public.orders
    """
    session = session_of(ctx)
    wishes = Wishes(
        create=create,
        schemas=tuple(schemas or ()),
        tables=tuple(tables or ()),
        data_only=data_only,
        schema_only=schema_only,
        occupied=occupied,
        jobs=jobs,
        exit_on_error=exit_on_error,
        verbose=verbose,
        owner=owner,
        privileges=privileges,
    )
    if into is not None:
        refuse_of_directory(to, paths or [], overwrite)
        return restore_database(session, point, into, wishes, dry_run=dry_run)
    if to is None:
        raise UsageError("Say where to restore: --to DIR, or --into URL for a database.")
    wishes.refuse()
    plan = session.app.restores.plan(point, to=to, paths=paths or [], overwrite=overwrite)
    if dry_run:
        return _tell(session, plan)
    session.resume = _RESUME
    with session.progress(f"restore {point}") as progress:
        summary = session.app.restores.run(plan, progress=progress)
    session.out.document({"dry_run": False, "plan": _plan_shape(plan), "result": _summary_shape(summary)})
    _print_summary(session.out, plan, summary)
    return IncompleteError.exit_code if plan.unavailable_count or summary.failure_count else 0


def _tell(session: CliSession, plan: RestorePlan) -> int:
    session.out.document({"dry_run": True, "plan": _plan_shape(plan), "result": None})
    _print_plan(session.out, plan)
    if plan.conflict_count:
        return TargetError.exit_code
    return IncompleteError.exit_code if plan.unavailable_count or plan.refused_count else 0


def _name(plan: RestorePlan) -> str:
    point = plan.point
    return words.point_in_full(point)


def _print_suspicion(out: Output, plan: RestorePlan) -> None:
    if plan.point.is_suspect:
        out.line(f"  {out.paint('It is suspect', 'bad')}: {plan.point.suspect[0]}")


def _print_plan(out: Output, plan: RestorePlan) -> None:
    counted = {
        "file": plan.files,
        "directory": plan.directories,
        "symbolic link": plan.symlinks,
        "other": plan.other,
    }
    kinds = [words.how_many(n, one, _MANY.get(one, "")) for one, n in counted.items() if n]
    out.line(f"{_name(plan)}, into {printable(plan.to)}; nothing was written")
    _print_suspicion(out, plan)
    out.line(f"  {', '.join(kinds) or 'nothing'}")
    out.line(f"  {words.size(plan.bytes)} to write, {words.size(plan.free_bytes)} free")
    steps = {"new": plan.creates, "to replace": plan.replaces, "there already, to be compared": plan.keeps}
    for what, amount in steps.items():
        if amount:
            out.line(f"  {words.count(amount)} {what}")
    if plan.resumes:
        out.line("  continues an interrupted restore")
    _print_list(out, "in the way", plan.conflicts, plan.conflict_count, "bad")
    _print_list(out, "cannot be restored", plan.refused, plan.refused_count, "bad")
    _print_list(out, "not in the recovery point", plan.unavailable, plan.unavailable_count, "warn")


def _print_summary(out: Output, plan: RestorePlan, summary: RestoreSummary) -> None:
    out.line(f"restored {_name(plan)}, into {printable(plan.to)}")
    _print_suspicion(out, plan)
    files = f"{words.how_many(summary.files, 'file')}, {words.size(summary.bytes)}"
    speed = f"{words.duration(summary.duration_s)}, {words.rate(summary.bytes, summary.duration_s)}"
    out.line(f"  {files} written and read back, {speed}")
    if summary.skipped:
        out.line(f"  {words.how_many(summary.skipped, 'file')} there already, and equal")
    _print_list(out, "warning", summary.warnings, summary.warning_count, "warn")
    _print_list(out, "not restored", summary.failures, summary.failure_count, "bad")
    if summary.failure_count:
        out.line(
            f"  {words.how_many(summary.failure_count, 'entry', 'entries')} not restored; the rest is. "
            "Remove the cause and run this again with --overwrite: entries that are right are kept."
        )


def _print_list(out: Output, label: str, texts: Sequence[str], amount: int, style: str) -> None:
    for text in texts[:LISTED]:
        out.line(f"  {out.paint(label, style)}: {text}")
    if amount > LISTED:
        out.line(f"  {words.more(amount - LISTED)}")


def _plan_shape(plan: RestorePlan) -> dict[str, Json]:
    conflicts: list[Json] = list(plan.conflicts)
    unavailable: list[Json] = list(plan.unavailable)
    return {
        "point": shapes.point(plan.point),
        "to": plan.to,
        "overwrite": plan.overwrite,
        "resumes": plan.resumes,
        "files": plan.files,
        "directories": plan.directories,
        "symlinks": plan.symlinks,
        "hardlinks": plan.hardlinks,
        "other": plan.other,
        "bytes": plan.bytes,
        "free_bytes": plan.free_bytes,
        "creates": plan.creates,
        "replaces": plan.replaces,
        "keeps": plan.keeps,
        "conflict_count": plan.conflict_count,
        "conflicts": conflicts,
        "unavailable_count": plan.unavailable_count,
        "unavailable": unavailable,
        "refused_count": plan.refused_count,
        "refused": list[Json](plan.refused),
    }


def _summary_shape(summary: RestoreSummary) -> dict[str, Json]:
    warnings: list[Json] = list(summary.warnings)
    return {
        "files": summary.files,
        "bytes": summary.bytes,
        "skipped": summary.skipped,
        "duration_s": summary.duration_s,
        "warning_count": summary.warning_count,
        "warnings": warnings,
        "failure_count": summary.failure_count,
        "failures": list[Json](summary.failures),
    }
