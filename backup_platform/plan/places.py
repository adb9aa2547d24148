"""Which directories of a plan contain each other. A repository that would back up itself, or would be inside
another one, is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from backup_platform.errors import PlanError
from backup_platform.plan.model import Plan
from backup_platform.plan.values import is_url, same_place


def place_problems(plan: Plan) -> Iterator[str]:
    """Problems of places, one line each, with their key in the plan. Paths are compared as they are written; no
    file system is read."""
    repositories = {plan.key_of(each): _local(plan, each.path) for each in plan.repositories.values()}
    there = {key: place for key, place in repositories.items() if place}
    for name, source in plan.sources.items():
        place = _local(plan, source.location) if source.source_kind.local else ""
        for key, repository in there.items():
            if place and _inside(place, repository):
                yield (
                    f"{plan.place('sources', name, source.kind)}: is {_where(place, repository)} {key}: "
                    "a repository is not backed up into itself"
                )
    for key, place in there.items():
        for other, outer in there.items():
            if key != other and place != outer and _inside(place, outer):
                yield (
                    f"{plan.place(*key.split('.', 1), 'path')}: is inside the directory of {other}: "
                    "each repository needs a place of its own"
                )
    state = _local(plan, plan.state) if plan.state else ""
    for key, repository in there.items():
        if state and _inside(state, repository):
            yield f"{plan.place('state')}: is {_where(state, repository)} {key}: name another directory"


def _local(plan: Plan, path: str) -> str:
    """The local directory of a path. Empty if it is not a directory of this host, or is unknown here."""
    with suppress(PlanError):
        place = same_place(plan.path(path), plan.base)
        return "" if is_url(place) else place
    return ""


def _inside(place: str, outer: str) -> bool:
    return place == outer or place.startswith(outer.rstrip("/") + "/")


def _where(place: str, outer: str) -> str:
    return "the directory of" if place == outer else "inside the directory of"
