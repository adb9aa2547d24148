"""`metrics`: the state of everything as metrics of Prometheus."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from backup_platform.cli.context import CliSession, session_of
from backup_platform.domain.model import Json

if TYPE_CHECKING:
    from backup_platform.cli.display.exposition import GaugeFamily

READABLE = 0o644  # node_exporter runs as another user


def metrics(
    ctx: typer.Context,
    output: Annotated[
        str | None,
        typer.Option("--output", metavar="FILE", help="Replace this file at once, readable by every user."),
    ] = None,
) -> int:
    """Print the state of all sources and repositories as metrics, in the text format of Prometheus.

    They are the numbers of `backup-platform status`, and of `coverage` where the plan has it. With --output nothing is
    printed: the file is for the textfile collector of node_exporter. The exit code is 0 also where a state is bad: the
    alert rules judge. Where the plan cannot be read or FILE cannot be written, an old FILE stays as it was.

    \b
    Examples:
      backup-platform metrics
      backup-platform metrics --output /var/lib/node_exporter/backup_platform.prom
    """
    from backup_platform.cli.display.exposition import exposed
    from backup_platform.cli.display.replacing import replaced

    session = session_of(ctx)
    page = exposed(found := _families(session))
    if output is not None:
        with replaced(output, READABLE) as file:
            file.write(page)
    elif not session.json:
        session.out.raw(page)
    session.out.document({"output": output, "metrics": [_shape(each) for each in found]})
    return 0


def _families(session: CliSession) -> list[GaugeFamily]:
    from backup_platform.cli.watch.series import families

    app = session.app
    coverage = app.setup.coverage() if app.plan.coverage else None
    return list(families(app.state.look(), coverage, os.path.abspath(app.plan_path)))


def _shape(family: GaugeFamily) -> Json:
    samples: list[Json] = [{"labels": {**each.labels}, "value": each.value} for each in family.samples]
    return {"name": family.name, "type": "gauge", "help": family.help, "samples": samples}
