"""`accept`: taking a suspect recovery point as it is."""

from __future__ import annotations

from typing import Annotated

import typer

from backup_platform.cli.arguments import POINT
from backup_platform.cli.context import session_of
from backup_platform.cli.display import json_shapes as shapes
from backup_platform.domain.words import point_name


def accept(
    ctx: typer.Context,
    point: POINT,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="The reason, for somebody who reads it in a year.")
    ],
) -> int:
    """Accept a suspect recovery point, because the source is right although it holds less than before.

    From then on the point counts like any other one: `latest` may select it, retention counts it, and later points are
    compared with it. This cannot be undone. `copy` transfers the acceptance to the other repositories.

    \b
    Example:
      backup-platform accept shop@2026-11-22 --reason "the archive moved to another server"
    """
    session = session_of(ctx)
    accepted = session.app.points.accept(point, reason)
    session.out.document({"point": shapes.point(accepted)})
    name = point_name(accepted)
    session.out.line(f"Accepted {name}: {accepted.accepted}.")
    return 0
