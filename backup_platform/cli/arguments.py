"""Arguments that several verbs have. Each is written once, so that help, manual page and completion agree."""

from __future__ import annotations

from typing import Annotated

import typer

POINT_HELP = "SOURCE@latest, SOURCE@2026-11-21, SOURCE@WINDOW, or the beginning of an id."
POINT = Annotated[str, typer.Argument(metavar="POINT", help=POINT_HELP)]
ONE_SOURCE = Annotated[str | None, typer.Argument(metavar="SOURCE", help="Only this source. [default: all]")]
