"""`cat`: one file of a recovery point on standard output."""

from __future__ import annotations

from typing import Annotated

import typer

from backup_platform.cli.arguments import POINT
from backup_platform.cli.context import session_of
from backup_platform.errors import UsageError


def cat(
    ctx: typer.Context,
    point: POINT,
    path: Annotated[
        str | None,
        typer.Argument(metavar="PATH", help="The file. [default: the only file of the point]"),
    ] = None,
) -> int:
    """Write one file of a recovery point to standard output, for a file or another program.

    Each block is compared with what was captured before it is written. If a block is damaged, the output ends before
    it, and the exit code is not 0. A shell sees this exit code in a pipe only after `set -o pipefail`: then do not use
    what the other program has made of a part.

    \b
    Examples:
      backup-platform cat uploads@latest invoices/0042.pdf > 0042.pdf
      backup-platform cat cache@latest | mongorestore --archive
    """
    session = session_of(ctx)
    if session.json:
        raise UsageError("cat writes the bytes of a file, not JSON.", hint="Leave --json out.")
    found = session.app.points.find(point)
    for block in session.app.restores.content(found.id, path):
        session.out.raw(block)
    return 0
