"""What `doctor` says of the places of a plan's `coverage`: one finding for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from backup_platform.actions.doctor.run import DoctorFinding
from backup_platform.advice import Hint, command
from backup_platform.domain.coverage import Coverage, CoverageGap, PlaceCoverage
from backup_platform.domain.words import first_of

_NAMED = 3


def coverage_findings(look: Callable[[], Coverage]) -> Iterator[DoctorFinding]:
    found = look()
    if not found.places and not found.elsewhere:
        yield DoctorFinding("coverage", True, "the plan does not say where to look for what is in no source")
    for place in found.places:
        yield _finding(place)
    for name in found.elsewhere:
        yield DoctorFinding(f"coverage of {name}", True, "only Dagster knows its assets, and looks there")


def _finding(place: PlaceCoverage) -> DoctorFinding:
    name = f"coverage of {place.place}"
    if place.gaps:
        return DoctorFinding(name, False, _first(place), _advice(place))
    counted = f"{place.title}: {place.protected:,} of {place.seen:,} in sources"
    counted += f", {len(place.left_out):,} left out on purpose" if place.left_out else ""
    warnings = [f"; {each.text}" for each in place.findings]
    return DoctorFinding(name, True, counted + "".join(warnings))


def _first(place: PlaceCoverage) -> str:
    return first_of([each.message for each in place.gaps], _NAMED, "; ")


def _advice(place: PlaceCoverage) -> Hint:
    if place.gaps[0].gap is CoverageGap.NOT_LOOKED:
        return place.gaps[0].advice
    return (command("coverage"), " shows the lines of the plan that end it.")
