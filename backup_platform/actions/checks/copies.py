"""The check `copies_in_place`: its verdict in words and numbers."""

from __future__ import annotations

from backup_platform.actions.checks.table import COPIES_IN_PLACE
from backup_platform.domain.checks import CheckResult
from backup_platform.domain.keep.copies import CopiesState, CopyRule, InPlace
from backup_platform.domain.model import Json
from backup_platform.domain.words import how_many


def copies_in_place(rule: CopyRule, state: CopiesState) -> CheckResult:
    """`ran` is False while there is time left to copy the point."""
    metadata: dict[str, Json] = {
        "repositories": list[Json](state.repositories),
        "places": list[Json](state.places),
        "lacking": list[Json]([*state.lacking, *state.silent]),
        "due": state.due.isoformat(),
    }
    passed = state.verdict is InPlace.YES
    ran = state.verdict is not InPlace.NOT_YET
    return COPIES_IN_PLACE.result(passed, _summary(rule, state), metadata, ran=ran)


def _summary(rule: CopyRule, state: CopiesState) -> str:
    here = f"in {_listed(state.repositories)}, at {_listed(state.places)}"
    if state.verdict is InPlace.YES:
        return here
    places = how_many(rule.places, "place")
    wanted = f"the plan asks for {how_many(rule.number, 'repository', 'repositories')} in {places}"
    silent = f"; {_listed(state.silent)} did not answer" if state.silent else ""
    until = "until" if state.verdict is InPlace.NOT_YET else "by"
    return f"{here}; {wanted}, {until} {state.due:%Y-%m-%d %H:%M %Z}{silent}"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "none"
