"""Placing and releasing holds of recovery points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from backup_platform.actions.points.find import find_point
from backup_platform.advice import command
from backup_platform.domain.keep.holds import Hold
from backup_platform.domain.model import RecoveryPoint
from backup_platform.domain.ports import Clock
from backup_platform.domain.trust.latest import Skipped, log_skipped
from backup_platform.domain.windows.zones import zone_of
from backup_platform.errors import DamageError, NotFoundError, RepositoryError, UsageError
from backup_platform.repository.objects.store_clock import store_now
from backup_platform.repository.records.forgotten import forgotten_places
from backup_platform.repository.records.holds import hold_key, place_hold, read_holds, release_hold
from backup_platform.repository.repository import Repository

UNDER_WAY = timedelta(
    minutes=10
)  # from the record of a forgotten point to the deletion of its manifest: seconds


@dataclass(frozen=True, slots=True)
class HeldPoint:
    """A hold and its recovery point, None if the point is not here. `in_force` is judged by the store's clock."""

    hold: Hold
    point: RecoveryPoint | None
    in_force: bool


@dataclass(frozen=True, slots=True)
class Holds:
    """The holds of one repository; a copy has its own."""

    repository: Repository
    clock: Clock
    tell: Callable[[Skipped], None] = log_skipped

    def place(self, spec: str, reason: str, *, until: str = "", legal: bool = False) -> HeldPoint:
        """Keep a point, whatever the rules say. Raises NotFoundError, UsageError, and RepositoryError if a forget that
        is running may not have seen the hold."""
        point, reason = find_point(self.repository, spec, self.tell), _reason(reason)
        ends = parse_until(until, point.timezone) if until else None
        if ends is not None and ends <= store_now(self.repository.store):
            raise UsageError(f"{until} is in the past.", hint="Name a later day, or leave --until out.")
        hold = place_hold(
            self.repository.objects, point.id, reason, self.clock.now(), until=ends, legal=legal
        )
        self._require_kept(point, hold)
        return HeldPoint(hold, point, in_force=True)

    def _require_kept(self, point: RecoveryPoint, hold: Hold) -> None:
        """Forgetting writes its record first and looks for holds after that: one of the two sees the other."""
        placed_at = self.repository.store.head(hold_key(hold)).modified
        records = [p for p in forgotten_places(self.repository.objects, point.source) if p.point == point.id]
        try:
            self.repository.store.head(self.repository.points.key(point))
        except NotFoundError as error:
            raise NotFoundError(
                f"The recovery point {point.id[:12]} was forgotten meanwhile.", subject=point.id[:12]
            ) from error
        if any(abs(placed_at - record.stored_at) < UNDER_WAY for record in records):
            raise RepositoryError(
                f"The hold is placed, but somebody is forgetting {point.id[:12]} right now and may not have seen it.",
                subject=point.id[:12],
                hint=(
                    f"Look in {UNDER_WAY.seconds // 60} minutes whether ",
                    command("points"),
                    " still has it.",
                ),
                retryable=True,
            )

    def release(self, spec: str, reason: str, *, legal: bool = False) -> list[Hold]:
        """End the holds of a point, legal ones only if `legal` is set. Returns the holds that were ended. Raises
        NotFoundError, and UsageError if none may be ended."""
        point, reason = self._held_point(spec), _reason(reason)
        standing = [
            hold for hold in read_holds(self.repository.objects, point).get(point, []) if not hold.released_at
        ]
        ending = [hold for hold in standing if legal or not hold.legal]
        if not standing:
            raise NotFoundError(
                f"There is no hold of {point[:12]}.",
                subject=point[:12],
                hint=(command("holds"), " lists them."),
            )
        if not ending:
            raise UsageError(
                f"{point[:12]} is under legal hold: {', '.join(hold.reason for hold in standing)}.",
                subject=point[:12],
                hint="To end it, add --legal.",
            )
        return [release_hold(self.repository.objects, hold, reason, self.clock.now()) for hold in ending]

    def stands(self, point: str) -> bool:
        """Whether a hold of the point with this id is not released."""
        return any(not hold.released_at for hold in read_holds(self.repository.objects, point).get(point, []))

    def _held_point(self, spec: str) -> str:
        """The id of a point; also of one that is not here, when it has a hold."""
        try:
            return find_point(self.repository, spec, self.tell).id
        except (NotFoundError, DamageError):
            known = [point for point in read_holds(self.repository.objects) if point.startswith(spec)]
            if len(known) != 1:
                raise
            return known[0]

    def listed(self) -> list[HeldPoint]:
        """All holds, also those that have ended, by source and window."""
        found = [hold for holds in read_holds(self.repository.objects).values() for hold in holds]
        if not found:
            return []
        points = {point.id: point for point in self.repository.points.readable()[0]}
        now = self._now(found)
        held = [HeldPoint(hold, points.get(hold.point), hold.in_force(now)) for hold in found]
        return sorted(held, key=_order)

    def in_force(self, point: str | None = None) -> dict[str, list[Hold]]:
        """What is held now, by point id."""
        found = read_holds(self.repository.objects, point)
        now = self._now([hold for holds in found.values() for hold in holds])
        standing = {each: [hold for hold in holds if hold.in_force(now)] for each, holds in found.items()}
        return {each: holds for each, holds in standing.items() if holds}

    def _now(self, holds: Sequence[Hold]) -> datetime:
        """The store is only asked where it matters."""
        ends = any(hold.until and not hold.released_at for hold in holds)
        return store_now(self.repository.store) if ends else self.clock.now()


def _reason(text: str) -> str:
    if not text.strip():
        raise UsageError(
            "A hold needs a reason.", hint="Give it with --reason, for somebody who reads it in a year."
        )
    return text.strip()


def parse_until(text: str, timezone: str) -> datetime:
    """The end of a hold: the beginning of a day in the source's time zone, or an instant with its offset."""
    try:
        if len(text) == 10:
            return datetime.combine(date.fromisoformat(text), time(), zone_of(timezone))
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise UsageError(f"{text!r} is not a day.", hint="Write 2027-11-22, or 2027-11-22T12:00:00+00:00.")
    return moment


def _order(held: HeldPoint) -> tuple[str, datetime, str]:
    point = held.point
    return (
        (point.source, point.window.start, held.hold.id) if point else ("", held.hold.placed_at, held.hold.id)
    )
