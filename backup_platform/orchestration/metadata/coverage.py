"""The metadata of what is in no source. Names of numbers never change, because Dagster plots them."""

from __future__ import annotations

import dagster as dg

from backup_platform.domain import words
from backup_platform.domain.coverage import Coverage, CoverageFinding, CoverageGap
from backup_platform.orchestration import shown
from backup_platform.orchestration.metadata.points import Metadata

MOST_ROWS = 100  # of a table: it is kept in Dagster's database for each run


def coverage_metadata(found: Coverage) -> Metadata:
    """The places with their numbers, the findings, and the lines of the plan that end them."""
    lacking = [each for each in found.findings if each.gap is CoverageGap.UNPROTECTED]
    numbers: Metadata = {
        "found": dg.MetadataValue.int(sum(place.seen for place in found.places)),
        "protected": dg.MetadataValue.int(sum(place.protected for place in found.places)),
        "left_out": dg.MetadataValue.int(sum(len(place.left_out) for place in found.places)),
        "unprotected": dg.MetadataValue.int(len(lacking)),
        "places": shown.markdown(_places(found)),
    }
    if found.findings:
        numbers["findings"] = shown.markdown(_findings(found.findings))
    if lines := [each.as_source or each.as_exception for each in lacking[:MOST_ROWS]]:
        numbers["lines_for_the_plan"] = shown.markdown(shown.fenced("\n".join(lines), "yaml"))
    return numbers


def _places(found: Coverage) -> str:
    rows = [
        f"| {shown.prose(place.place)} | {shown.code(place.title)} | {place.seen:,} | {place.protected:,} | "
        f"{len(place.left_out):,} | {len(place.gaps):,} |"
        for place in found.places
    ]
    heads = "| place | looked at | found | in sources | left out | findings |"
    return "\n".join([heads, "|---|---|---|---|---|---|", *rows])


def _findings(findings: tuple[CoverageFinding, ...]) -> str:
    rows = [
        f"| {shown.prose(each.place)} | {shown.prose(each.text)} | {_since(each)} |"
        for each in findings[:MOST_ROWS]
    ]
    left = len(findings) - MOST_ROWS
    note = [words.more(left, "findings")] if left > 0 else []
    return "\n".join(["| place | finding | since |", "|---|---|---|", *rows]) + "".join(
        f"\n\n{n}" for n in note
    )


def _since(finding: CoverageFinding) -> str:
    return f"{finding.since:%Y-%m-%d}" if finding.since else ""
