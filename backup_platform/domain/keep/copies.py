"""Is a recovery point in enough repositories and places, and was it copied in time? Standard library only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class CopyRule:
    """In how many repositories and places a point must be, `within` how long after its commit."""

    number: int
    places: int
    within: timedelta


@dataclass(frozen=True, slots=True)
class Holding:
    """One repository of a source. `holds` is None if the repository does not answer. `forgot` means that its own
    retention removed the point, as the plan wants."""

    repository: str
    place: str
    holds: bool | None
    forgot: bool = False


class InPlace(StrEnum):
    YES = "yes"
    NOT_YET = "not yet"  # there is time left
    NO = "no"


@dataclass(frozen=True, slots=True)
class CopiesState:
    """`repositories` and `places` are where the point is, or was until retention removed it there."""

    verdict: InPlace
    repositories: tuple[str, ...]
    places: tuple[str, ...]
    lacking: tuple[str, ...]
    silent: tuple[str, ...]
    due: datetime


def judge_copies(
    rule: CopyRule, holdings: Sequence[Holding], committed_at: datetime, now: datetime
) -> CopiesState:
    """Judge the copies of a point. A repository that does not answer counts as not having it."""
    held = [each for each in holdings if each.holds or each.forgot]
    places = tuple(sorted({each.place for each in held}))
    due = committed_at + rule.within
    enough = len(held) >= rule.number and len(places) >= rule.places
    verdict = InPlace.YES if enough else InPlace.NOT_YET if now < due else InPlace.NO
    silent = [each.repository for each in holdings if each.holds is None and not each.forgot]
    lacking = [each.repository for each in holdings if each.holds is False and not each.forgot]
    names = tuple(each.repository for each in held)
    return CopiesState(verdict, names, places, tuple(lacking), tuple(silent), due)
