"""`plan …`: check the plan file, and describe it to editors."""

from __future__ import annotations

import json

import typer

from backup_platform.cli.context import session_of
from backup_platform.domain.model import Json
from backup_platform.domain.words import how_many
from backup_platform.errors import PlanError


def check(ctx: typer.Context) -> int:
    """Check the plan file: every mistake in it is reported, with its line.

    Only the file is read. Secrets, repositories and sources are not looked at: `doctor` checks those. The exit code is
    2 when the plan is not valid.

    \b
    Examples:
      backup-platform plan check
      backup-platform --plan backup.yaml plan check --json
    """
    session = session_of(ctx)
    try:
        plan, path = session.app.plan, session.app.plan_path
    except PlanError as error:
        if not session.json:
            raise
        problems = list[Json](error.message.splitlines())
        session.out.document({"valid": False, "problems": problems, "hint": error.hint, "sources": []})
        return error.exit_code
    sources: list[Json] = [{"name": name, "kind": source.kind} for name, source in plan.sources.items()]
    session.out.document({"valid": True, "problems": [], "hint": "", "sources": sources})
    repositories = how_many(len(plan.repositories), "repository", "repositories")
    session.out.line(f"{path} is a valid plan: {how_many(len(sources), 'source')}, {repositories}.")
    return 0


def schema(ctx: typer.Context) -> int:
    """Print the JSON schema of a plan, for editors. Needs no plan.

    It knows the kinds of sources that are installed here. Write it beside the plan, and name it in the plan's first
    line (docs/plan.md).

    \b
    Example:
      backup-platform plan schema > backup.schema.json
    """
    from backup_platform.plan.schema import json_schema

    out, found = session_of(ctx).out, json_schema()
    out.document(found)
    for line in json.dumps(found, indent=2).splitlines():
        out.line(line)
    return 0
