"""`hold`, `release` and `holds`: keeping recovery points whatever the plan says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from backup_platform.cli.arguments import POINT
from backup_platform.cli.context import session_of
from backup_platform.cli.display import formats
from backup_platform.cli.display import json_shapes as shapes
from backup_platform.cli.display.table import Cell, TableColumn, print_table
from backup_platform.domain.words import ID_SHOWN, point_name

if TYPE_CHECKING:
    from backup_platform.actions.points.holds import HeldPoint

_COLUMNS = (
    TableColumn("source"),
    TableColumn("window"),
    TableColumn("id"),
    TableColumn("placed", drop=1),
    TableColumn("state"),
    TableColumn("reason"),
)


def hold(
    ctx: typer.Context,
    point: POINT,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="The reason, for somebody who reads it in a year.")
    ],
    until: Annotated[
        str | None,
        typer.Option(
            "--until", metavar="DATE", help="End the hold when this day begins. [default: until `release`]"
        ),
    ] = None,
    legal: Annotated[bool, typer.Option("--legal", help="Only `release --legal` can end it early.")] = False,
) -> int:
    """Keep a recovery point, whatever the plan says, until the hold is released.

    A hold is valid in one repository. Use --repository to hold a copy in another one.

    \b
    Examples:
      backup-platform hold shop@2026-11-21 --reason "before the migration" --until 2027-02-01
      backup-platform hold shop@latest --reason "case 4711" --legal
    """
    session = session_of(ctx)
    held, out = (
        session.app.maintenance.holds.place(point, reason, until=until or "", legal=legal),
        session.out,
    )
    out.document({"hold": shapes.hold(held.hold, in_force=held.in_force)})
    name = point_name(held.point) if held.point else point
    out.line(f"Held {name}: {held.hold}.")
    return 0


def release(
    ctx: typer.Context,
    point: POINT,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Why the hold is no longer needed.")
    ],
    legal: Annotated[bool, typer.Option("--legal", help="End legal holds as well.")] = False,
) -> int:
    """End the holds of a recovery point. From then on the plan decides again.

    \b
    Example:
      backup-platform release shop@2026-11-21 --reason "the migration worked"
    """
    session = session_of(ctx)
    ended, out = session.app.maintenance.holds.release(point, reason, legal=legal), session.out
    out.document({"released": [shapes.hold(each, in_force=False) for each in ended]})
    for each in ended:
        out.line(f"Released {each.point[:ID_SHOWN]}: {each}.")
    if not legal and session.app.maintenance.holds.stands(ended[0].point):
        again = session.command("release", point, "--reason", reason, "--legal")
        out.line(f"It is still held by a legal hold, which only --legal ends: {again}")
    return 0


def holds(ctx: typer.Context) -> int:
    """List all holds, including those that have ended.

    \b
    Example:
      backup-platform holds
    """
    session = session_of(ctx)
    found, out = session.app.maintenance.holds.listed(), session.out
    out.document({"holds": [shapes.hold(each.hold, in_force=each.in_force) for each in found]})
    if found:
        print_table(out, _COLUMNS, [_row(each) for each in found])
    else:
        out.line("Nothing is held.")
    damaged = [each.hold.damaged for each in found if each.hold.damaged and not each.hold.released_at]
    for text in damaged:
        out.line(out.paint("DAMAGED ", "bad") + text)
    return 1 if damaged else 0


def _row(held: HeldPoint) -> list[Cell]:
    point, zone = held.point, held.point.timezone if held.point else "UTC"
    return [
        Cell(point.source if point else "not here"),
        Cell(point.window.key if point else ""),
        Cell(held.hold.point[:ID_SHOWN], "", held.hold.point[:8]),
        Cell(formats.instant(held.hold.placed_at, zone)),
        Cell("held", "good") if held.in_force else Cell(_over(held, zone), "dim"),
        Cell(str(held.hold)),
    ]


def _over(held: HeldPoint, zone: str) -> str:
    if held.hold.released_at is None:
        return "ended"
    return f"released {formats.instant(held.hold.released_at, zone)}: {held.hold.release_reason}"
