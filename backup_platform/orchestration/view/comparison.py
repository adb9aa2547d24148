"""What Dagster lacks of what a repository holds."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

import dagster as dg

from backup_platform.actions.checks.table import STORED
from backup_platform.domain.model import RecoveryPoint
from backup_platform.domain.visible import inert
from backup_platform.orchestration.assets.forgotten import FORGOTTEN, forgotten_observation
from backup_platform.orchestration.view.answers import MOST_GONE
from backup_platform.orchestration.view.holdings import Holdings
from backup_platform.orchestration.view.records import POINT, DagsterRecords, KnownVerdict

if TYPE_CHECKING:
    from backup_platform.actions.checks.recorded import Verdict

LOST = "lost_point"


@dataclass(frozen=True, slots=True)
class LackingVerdict:
    """`window` is None for a check without windows. `changed` where Dagster has another verdict."""

    point: RecoveryPoint
    verdict: Verdict
    window: str | None
    changed: bool = False


@dataclass(frozen=True, slots=True)
class GoneWindow:
    """A window whose point is gone: what to tell of it, and since when. `lost` where nobody forgot it."""

    observation: dg.AssetObservation
    at: datetime
    lost: bool = False


class Comparison:
    """Of one asset. Windows that a run works on (`active`) are left to it."""

    def __init__(
        self, holdings: Holdings, records: DagsterRecords, active: Collection[tuple[str, str]]
    ) -> None:
        self.holdings = holdings
        self._records = records
        self._active = {window for subject, window in active if subject == holdings.subject.id}

    @property
    def busy(self) -> bool:
        """Whether runs work on it: what they do not report is seen when they are over."""
        return bool(self._active)

    @cached_property
    def _told(self) -> Mapping[str, str]:
        return self._records.points(self.holdings.key)

    @cached_property
    def shown(self) -> dict[str, RecoveryPoint]:
        """The point that each window shows, or is going to: a run may have told of a newer one, which is suspect."""
        by_id = self.holdings.by_id
        told = {window: by_id[point] for window, point in self._told.items() if point in by_id}
        return {
            window: told[window] if window in told and told[window].sequence > point.sequence else point
            for window, point in self.holdings.points.items()
        }

    def points(self) -> list[RecoveryPoint]:
        """The points that their windows do not show, the newest window first."""
        lacking = [
            point
            for window, point in self.shown.items()
            if self._told.get(window) != point.id and window not in self._active
        ]
        return sorted(lacking, key=lambda point: point.window.start, reverse=True)

    def newest_again(self) -> RecoveryPoint | None:
        """The newest point, where the asset's page shows an older one because that was reported after it."""
        last, newest = self._records.newest_reported(self.holdings.key), self.holdings.newest
        shown_now = newest and self.shown[newest.window.key]
        return shown_now if newest and last and last != newest.window.key else None

    # Checks

    @cached_property
    def newest(self) -> RecoveryPoint | None:
        """The point that the newest window shows."""
        return max(self.shown.values(), key=lambda point: point.window.start, default=None)

    def newest_verdicts(self) -> Iterator[LackingVerdict]:
        """All verdicts of the newest window, as changed ones; none while a run works on it."""
        point = self.newest
        if point is not None and point.window.key not in self._active:
            for verdict in self.holdings.verdicts(point):
                yield LackingVerdict(point, verdict, point.window.key, changed=True)

    def verdicts(self) -> Iterator[LackingVerdict]:
        """The verdicts that Dagster lacks, those of the newest windows first."""
        holdings = self.holdings
        with_windows = holdings.translator.checks_have_windows(holdings.subject.source)
        checks = [dg.AssetCheckKey(holdings.key, check.name) for check in holdings.checks]
        known = self._records.verdicts(checks)
        newest = sorted(self.shown.values(), key=lambda point: point.window.start, reverse=True)
        for point in newest if with_windows else newest[:1]:
            if point.window.key not in self._active:
                window = point.window.key if with_windows else None
                yield from self._of_point(point, window, known)

    def _of_point(
        self, point: RecoveryPoint, window: str | None, known: Mapping[tuple[str, str | None], KnownVerdict]
    ) -> Iterator[LackingVerdict]:
        for verdict in self.holdings.verdicts(point):
            name = verdict.result.name
            before = known.get((name, window))
            if before is None:
                yield LackingVerdict(point, verdict, window)
            elif before.passed != verdict.result.passed or not before.current or window is None:
                yield from self._changed(point, verdict, window, before)

    def _changed(
        self, point: RecoveryPoint, verdict: Verdict, window: str | None, before: KnownVerdict
    ) -> Iterator[LackingVerdict]:
        """A verdict that is of another point than the last one, or newer and different; any where a run left none."""
        if before.passed is None:
            if self._records.is_over(before.run):
                yield LackingVerdict(point, verdict, window, changed=True)
            return
        records = self._records.evaluations(dg.AssetCheckKey(self.holdings.key, verdict.result.name), window)
        last = next((each for each in records if each.event), None)
        found = last.evaluation if last else None
        of = found.metadata.get(POINT) if found and isinstance(found, dg.AssetCheckEvaluation) else None
        same = of is not None and of.value == point.id
        if same and before.passed == verdict.result.passed:
            return
        newer = last is None or last.event is None or verdict.at.timestamp() > last.event.timestamp
        if newer or (of is not None and not same):
            changed = window is not None or before.passed != verdict.result.passed
            yield LackingVerdict(point, verdict, window, changed)

    # What is gone

    def gone(self) -> Iterator[GoneWindow]:
        """Windows whose point was forgotten or is lost, as far as Dagster was not told."""
        yield from self._forgotten()
        yield from self._lost()

    def _forgotten(self) -> Iterator[GoneWindow]:
        holdings = self.holdings
        found = [
            each
            for each in holdings.answer.forgotten_of(holdings.subject.source)
            if each.window.key in holdings.windows
        ]
        told = self._records.observed(holdings.key, (each.window.key for each in found), FORGOTTEN)
        for each in found:
            if each.point not in told:
                yield GoneWindow(forgotten_observation(holdings.key, each), each.forgotten_at)

    def _lost(self) -> Iterator[GoneWindow]:
        """By what the ledger proves, and by what Dagster saw."""
        holdings, answer = self.holdings, self.holdings.answer
        lost = {
            each.point: each.window.key
            for each in answer.lost
            if each.source == holdings.subject.source and each.window.key in holdings.windows
        }
        known = answer.ids | answer.forgotten
        told_of = {point: window for window, point in self._told.items() if window in holdings.windows}
        lost |= {point: window for point, window in told_of.items() if point not in known}
        told = self._records.observed(holdings.key, lost.values(), LOST)
        for point, window in [each for each in lost.items() if each[0] not in told][:MOST_GONE]:
            if window not in self._active:
                yield GoneWindow(self._lost_observation(point, window), answer.now, lost=True)

    def _lost_observation(self, point: str, window: str) -> dg.AssetObservation:
        answer = self.holdings.answer
        damaged = f" {answer.unreadable[0]}" if answer.unreadable else ""
        left = self.holdings.points.get(window)
        now = (
            f"Its window has an earlier point, {left.id[:12]}."
            if left
            else "Its window has no point any more."
        )
        text = f"Lost: the recovery point {point[:12]} cannot be read, and no record says that it was forgotten. {now}"
        return dg.AssetObservation(
            self.holdings.key,
            partition=window,
            description=inert(text + damaged),
            metadata={LOST: point, "window": window},
        )


def lost_evaluation(gone: GoneWindow, windows: bool) -> dg.AssetCheckEvaluation:
    """The check `stored` of a window whose point is lost."""
    observation = gone.observation
    return dg.AssetCheckEvaluation(
        asset_key=observation.asset_key,
        check_name=STORED.name,
        passed=False,
        metadata={POINT: observation.metadata[LOST], "window": observation.metadata["window"]},
        severity=dg.AssetCheckSeverity.ERROR,
        description=observation.description,
        blocking=True,
        partition=observation.partition if windows else None,
    )
