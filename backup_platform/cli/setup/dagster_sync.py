"""`dagster-sync`: filling a Dagster instance with what the repositories hold."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated

import typer

from backup_platform.cli.context import session_of
from backup_platform.domain.words import how_many

# The one verb that needs Dagster. It is imported by name when the verb runs, so that nothing else here depends on it.
_REFILL = "backup_platform.orchestration.view.refill"


def dagster_sync(
    ctx: typer.Context,
    key_prefix: Annotated[
        str,
        typer.Option(
            "--key-prefix",
            metavar="KEY",
            help="What the asset keys of the plan begin with, as in defs.yaml; parts are separated by /.",
        ),
    ] = "backups",
) -> int:
    """Report to Dagster what the repositories hold and its instance does not show.

    The instance is that of $DAGSTER_HOME. It may be empty, and Dagster may run. Recovery points and the results of
    their checks are reported with their own times and without runs: the newest windows first, and points before checks.
    What was forgotten or lost is reported as that. A call that was interrupted is continued by the next one.

    The sensor backup_sync does the same while Dagster runs.

    \b
    Example:
      DAGSTER_HOME=~/dagster backup-platform dagster-sync
    """
    session = session_of(ctx)
    session.resume = "Run the same command again: it continues."
    refill = import_module(_REFILL).refill
    with session.progress("dagster-sync") as progress:
        done, left_out = refill(session.app, key_prefix.split("/"), progress)
    session.out.document(
        {"points": done.points, "checks": done.checks, "gone": done.gone, "left_out": left_out}
    )
    session.out.line(
        f"Reported {how_many(done.points, 'point')}, {how_many(done.checks, 'check result')} and "
        f"{how_many(done.gone, 'window')} without a point any more."
        if done.any
        else "Dagster shows what the repositories hold. Nothing was reported."
    )
    for text in left_out:
        session.out.line(f"left out: {text}")
    return 1 if left_out else 0
