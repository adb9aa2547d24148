"""`coverage`: what is in no source of the plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from backup_platform.cli.context import CliSession, session_of
from backup_platform.cli.display.json_shapes import moment
from backup_platform.cli.display.table import Cell, TableColumn, print_table
from backup_platform.domain.coverage import CoverageGap
from backup_platform.domain.model import Json
from backup_platform.domain.words import are, count, how_many
from backup_platform.errors import IncompleteError, UsageError

if TYPE_CHECKING:
    from backup_platform.domain.coverage import Coverage, CoverageFinding, PlaceCoverage

NOWHERE = (
    "The plan does not say where to look for what is in no source.",
    "Add `coverage` to it: docs/coverage.md describes it.",
)
UNKNOWN = 1  # the exit code where a place could not be looked at
COLUMNS = (
    TableColumn("PLACE"),
    TableColumn("LOOKED AT", drop=1),
    TableColumn("FOUND", right=True),
    TableColumn("IN SOURCES", right=True),
    TableColumn("LEFT OUT", right=True),
    TableColumn("IN NONE", right=True),
)


def coverage(
    ctx: typer.Context,
    everything: Annotated[
        bool, typer.Option("--all", help="Also list what is left out on purpose, with the reasons.")
    ] = False,
) -> int:
    """List what no source protects: databases of a server, directories, tables.

    It looks where `coverage` of the plan says, and reads no contents. Each finding has the lines that end it, as a
    source or as an exception with a reason. The exit code is 3 when something is in no source, and 1 when a place
    cannot be looked at. An exception that leaves nothing out is a warning.

    \b
    Examples:
      backup-platform coverage
      backup-platform coverage --json
    """
    session = session_of(ctx)
    if not session.app.plan.coverage:
        raise UsageError(NOWHERE[0], hint=NOWHERE[1])
    found = session.app.setup.coverage()
    session.out.document(
        {
            "passed": found.is_fine,
            "at": moment(found.at),
            "places": [_place_shape(session, place) for place in found.places],
            "elsewhere": [*found.elsewhere],
        }
    )
    print_table(session.out, COLUMNS, [_row(place) for place in found.places])
    for place in found.places:
        _tell(session, place, everything=everything)
    for name in found.elsewhere:
        session.out.line(f"note  {name}: only Dagster knows its assets, and looks there")
    session.out.line(_summary(found))
    return _exit_code(found)


def _exit_code(found: Coverage) -> int:
    if found.is_fine:
        return 0
    return IncompleteError.exit_code if found.is_known else UNKNOWN


def _row(place: PlaceCoverage) -> list[Cell]:
    if any(each.gap is CoverageGap.NOT_LOOKED for each in place.findings):
        unknown = [Cell("?", "bad")] * 4
        return [Cell(place.place), Cell(place.title), *unknown]
    lacking = len(place.gaps)
    return [
        Cell(place.place),
        Cell(place.title),
        Cell(count(place.seen)),
        Cell(count(place.protected)),
        Cell(count(len(place.left_out))),
        Cell(count(lacking), "bad" if lacking else ""),
    ]


def _tell(session: CliSession, place: PlaceCoverage, *, everything: bool) -> None:
    out = session.out
    for each in place.left_out if everything else ():
        out.line(f"{out.paint('out ', 'dim')}  {each.what} {each.name!r} of {place.title}: {each.reason}")
    for finding in place.findings:
        mark = out.paint("warn", "warn") if finding.is_warning else out.paint("FAIL", "bad")
        out.line(f"{mark}  {finding.message}")
        if finding.advice:
            out.line(f"      {session.written(finding.advice)}")
        _offer(session, finding)


def _offer(session: CliSession, finding: CoverageFinding) -> None:
    offers = (("to back it up", finding.as_source), ("to leave it out", finding.as_exception))
    for purpose, lines in offers:
        for number, line in enumerate(lines.splitlines()):
            if number == 0:
                session.out.line(f"      In the plan, {purpose}:")
            session.out.line(f"        {line}")


def _summary(found: Coverage) -> str:
    unseen = sum(each.gap is CoverageGap.NOT_LOOKED for each in found.findings)
    lacking = len(found.gaps) - unseen
    if not found.places:
        return "Nothing was looked at."
    parts = [f"{how_many(lacking, 'thing')} {are(lacking)} in no source"] if lacking else []
    parts += [f"{how_many(unseen, 'place')} could not be looked at"] if unseen else []
    places = how_many(len(found.places), "place")
    return f"{places}: {'; '.join(parts) or 'everything is in a source or left out on purpose'}."


def _place_shape(session: CliSession, place: PlaceCoverage) -> Json:
    return {
        "place": place.place,
        "title": place.title,
        "seen": place.seen,
        "protected": place.protected,
        "left_out": [
            {"name": each.name, "what": each.what, "reason": each.reason} for each in place.left_out
        ],
        "findings": [_finding_shape(session, each) for each in place.findings],
    }


def _finding_shape(session: CliSession, finding: CoverageFinding) -> Json:
    return {
        "gap": finding.gap.value,
        "name": finding.name,
        "text": finding.text,
        "since": moment(finding.since) if finding.since else None,
        "as_source": finding.as_source,
        "as_exception": finding.as_exception,
        "hint": session.written(finding.advice),
    }
