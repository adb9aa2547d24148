"""The part of `restore` that brings a recovery point back into a database server."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from backup_platform.cli.display import json_shapes as shapes
from backup_platform.cli.display.names import printable
from backup_platform.domain import words
from backup_platform.domain.model import Json
from backup_platform.domain.restoring import DatabaseTarget
from backup_platform.errors import IncompleteError, TargetError, UsageError

if TYPE_CHECKING:
    from backup_platform.cli.context import CliSession
    from backup_platform.cli.display.output import Output
    from backup_platform.domain.restoring import (
        DatabaseRestorePlan,
        DatabaseRestoreSummary,
        RestoreFailure,
    )

_RESUME = (
    "A restore into a database cannot be continued. Drop what it created: the new database, or the restored tables in "
    "an existing database. Then run the same command again. Until then a comment on the database says so."
)
_JOBS = 2
_SHOWN = 20
_SINGULAR = {"schemas": "schema", "tables": "table"}


@dataclass(frozen=True, slots=True)
class Wishes:
    """The options that only go with --into, as they were given."""

    create: bool
    schemas: tuple[str, ...]
    tables: tuple[str, ...]
    data_only: bool
    schema_only: bool
    occupied: bool
    jobs: str | None
    exit_on_error: bool
    verbose: bool
    owner: bool | None
    privileges: bool | None

    def refuse(self) -> None:
        """Raise UsageError if any of them was given."""
        for field in fields(self):
            value = getattr(self, field.name)
            switch = field.name in ("owner", "privileges")
            if value or (switch and value is False):
                option = _SINGULAR.get(field.name, field.name.replace("_", "-"))
                raise UsageError(
                    f"--{'' if value else 'no-'}{option} goes with --into, a restore into a database."
                )

    def target(self, url: str) -> DatabaseTarget:
        """Raises UsageError for an invalid number of connections."""
        return DatabaseTarget(
            url,
            schemas=self.schemas,
            tables=self.tables,
            data_only=self.data_only,
            schema_only=self.schema_only,
            create=self.create,
            occupied=self.occupied,
            jobs=_number(self.jobs),
            exit_on_error=self.exit_on_error,
            owner=self.owner,
            privileges=self.privileges,
        )


def _number(text: str | None) -> int:
    if text is None:
        return _JOBS
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise UsageError(f"--jobs takes a number from 1 on, not {text!r}.")
    return int(text)


def refuse_of_directory(to: str | None, paths: Sequence[str], overwrite: bool) -> None:
    """Raise UsageError for options that are only valid with --to."""
    if to is not None:
        raise UsageError("Give --to or --into, not both.")
    if paths:
        raise UsageError("Paths go with --to.", hint="Parts of a database are named by --schema and --table.")
    if overwrite:
        raise UsageError("--overwrite goes with --to: in a database nothing is ever replaced.")


def restore_database(session: CliSession, point: str, url: str, wishes: Wishes, *, dry_run: bool) -> int:
    """Carry out `restore POINT --into URL`, or only tell what it would do; the exit code."""
    plan = session.app.restores.plan_database(point, wishes.target(url))
    if dry_run:
        return _tell(session, plan)
    session.resume = _RESUME
    with session.progress(f"restore {point}") as progress:
        summary = session.app.restores.run_database(plan, progress=progress)
    done = _summary_shape(session, summary)
    session.out.document({"dry_run": False, "plan": _plan_shape(session, plan), "result": done})
    _print_summary(session, plan, summary, wishes.verbose)
    return 0 if summary.complete else IncompleteError.exit_code


def _tell(session: CliSession, plan: DatabaseRestorePlan) -> int:
    session.out.document({"dry_run": True, "plan": _plan_shape(session, plan), "result": None})
    out = session.out
    out.line(f"{_name(plan)}; nothing was written")
    amount = f"{words.how_many(len(plan.tables), 'table')}, {words.how_many(plan.rows, 'row')}"
    out.line(f"  {amount}, {words.size(plan.bytes)} stored")
    for number, step in enumerate(plan.steps, 1):
        out.line(f"  {number}. {step}")
    _print_list(out, "warning", plan.warnings, "warn")
    _print_list(out, "left out", plan.left_out, "bad")
    _print_list(out, "in the way", plan.conflicts, "bad")
    _print_list(out, "next", map(session.written, plan.advice), "bold")
    if plan.conflicts:
        return TargetError.exit_code
    return IncompleteError.exit_code if plan.left_out else 0


def _print_summary(
    session: CliSession, plan: DatabaseRestorePlan, summary: DatabaseRestoreSummary, verbose: bool
) -> None:
    out = session.out
    out.line(f"restored {_name(plan)}{'' if summary.complete else ', not all of it'}")
    amount = f"{words.how_many(summary.tables, 'table')}, {words.how_many(summary.rows, 'row')}"
    out.line(f"  {amount}, {words.size(summary.bytes)} stored, {words.duration(summary.duration_s)}")
    _print_list(out, "warning", summary.warnings, "warn")
    _print_list(out, "left out", summary.left_out, "bad")
    shown = summary.failures if verbose else summary.failures[:_SHOWN]
    for failure in shown:
        because = f" (it needs {failure.because})" if failure.because else ""
        text = f"{failure.what}{because}: {failure.said}"
        _print_list(out, "not restored", [text], "bad")
        if verbose and failure.entry:
            out.line(f"    entry {failure.entry}")
    if len(shown) < len(summary.failures):
        out.line(f"  {words.more(len(summary.failures) - len(shown))}: --verbose or --json names all")
    _print_list(out, "next", map(session.written, summary.advice), "bold")


def _name(plan: DatabaseRestorePlan) -> str:
    point = plan.point
    what = words.point_in_full(point)
    return f"{what}, into {printable(plan.database)} ({printable(plan.server)})"


def _print_list(out: Output, label: str, texts: Iterable[str], style: str) -> None:
    for text in texts:
        out.line(f"  {out.paint(label, style)}: {text}")


def _plan_shape(session: CliSession, plan: DatabaseRestorePlan) -> dict[str, Json]:
    return {
        "point": shapes.point(plan.point),
        "server": plan.server,
        "database": plan.database,
        "schemas": list(plan.target.schemas),
        "only_tables": list(plan.target.tables),
        "create": plan.target.create,
        "data_only": plan.target.data_only,
        "schema_only": plan.target.schema_only,
        "occupied": plan.target.occupied,
        "jobs": plan.target.jobs,
        "owner": plan.target.owner is not False,
        "privileges": plan.target.privileges is not False,
        "tables": list(plan.tables),
        "rows": plan.rows,
        "bytes": plan.bytes,
        "steps": list(plan.steps),
        "warnings": list(plan.warnings),
        "left_out": list(plan.left_out),
        "conflicts": list(plan.conflicts),
        "advice": [session.written(each) for each in plan.advice],
    }


def _summary_shape(session: CliSession, summary: DatabaseRestoreSummary) -> dict[str, Json]:
    return {
        "tables": summary.tables,
        "rows": summary.rows,
        "bytes": summary.bytes,
        "duration_s": summary.duration_s,
        "warnings": list(summary.warnings),
        "left_out": list(summary.left_out),
        "failures": [_failure_shape(failure) for failure in summary.failures],
        "advice": [session.written(each) for each in summary.advice],
    }


def _failure_shape(failure: RestoreFailure) -> dict[str, Json]:
    return {
        "what": failure.what,
        "said": failure.said,
        "because": failure.because,
        "entry": failure.entry,
    }
