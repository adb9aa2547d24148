"""Report to Dagster what it lacks: points first and the newest windows first, then their checks, then what is gone.

What is reported is found by comparing, so that an interrupted call is continued by the next one, and a call after
which nothing happened reports nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import dagster as dg

from backup_platform.actions.checks.table import COPIES_IN_PLACE
from backup_platform.clock import SILENT
from backup_platform.domain.ports import Progress
from backup_platform.domain.visible import inert
from backup_platform.orchestration.assets.checks import HINT
from backup_platform.orchestration.metadata.points import check_metadata
from backup_platform.orchestration.subjects import WatchedAsset
from backup_platform.orchestration.translator import BackupTranslator
from backup_platform.orchestration.view.comparison import (
    Comparison,
    GoneWindow,
    LackingVerdict,
    lost_evaluation,
)
from backup_platform.orchestration.view.records import DagsterRecords
from backup_platform.orchestration.view.stand_in import StandIns

if TYPE_CHECKING:
    from backup_platform.domain.checks import CheckResult
    from backup_platform.domain.model import RecoveryPoint


@dataclass
class Reported:
    """How much was reported, and whether all of it. `gone` windows have lost their point, or it was forgotten."""

    points: int = 0
    checks: int = 0
    gone: int = 0
    complete: bool = True
    sources: list[str] = field(default_factory=list)  # those of which something was reported

    @property
    def any(self) -> bool:
        return bool(self.points or self.checks or self.gone)


class Sync:
    """Reports to one instance. `late` says when it is time to stop."""

    def __init__(
        self,
        translator: BackupTranslator,
        records: DagsterRecords,
        late: Callable[[], bool] = lambda: False,
        progress: Progress = SILENT,
    ) -> None:
        self._translator = translator
        self._records = records
        self._runs = StandIns(records)
        self._late = late
        self._progress = progress
        self.reported = Reported()

    def run(self, comparisons: Sequence[Comparison]) -> Reported:
        """Report what these assets lack."""
        for report in (self._points, self._verdicts, self._gone):
            if not self._stopped():
                report(comparisons)
        self._runs.end()
        self._records.flush()
        return self.reported

    def _stopped(self) -> bool:
        if self.reported.complete and self._late():
            self.reported.complete = False
        return not self.reported.complete

    def _each(self, what: str, work: Iterable[Callable[[], None]], amount: int) -> int:
        """Do one after the other while there is time; how many were done."""
        self._progress.begin(what, "event")
        self._progress.expect(items=amount)
        done = 0
        for do in work:
            if self._stopped():
                break
            do()
            done += 1
            self._progress.advance(items=1)
        return done

    # Points

    def _points(self, comparisons: Sequence[Comparison]) -> None:
        lacking = [(each, point) for each in comparisons for point in each.points()]
        lacking.sort(key=lambda pair: pair[1].window.start, reverse=True)
        work = (partial(self._materialize, each, point) for each, point in lacking)
        self.reported.points += self._each("points", work, len(lacking))
        for each in comparisons:  # Dagster takes for the latest what it was told last
            if again := each.newest_again():
                self._materialize(each, again)

    def _materialize(self, comparison: Comparison, point: RecoveryPoint) -> None:
        holdings = comparison.holdings
        at, metadata = holdings.made_at(point), holdings.metadata(point)
        self._records.materialized(holdings.key, point.window.key, point.id, metadata, at)
        self._note(holdings.subject)

    def _note(self, subject: WatchedAsset) -> None:
        if subject.id not in self.reported.sources:
            self.reported.sources.append(subject.id)

    # Checks

    def _verdicts(self, comparisons: Sequence[Comparison]) -> None:
        """Dagster's list of checks has what it was told last of each: that must be the newest window."""
        lacking = [(each, found) for each in comparisons for found in self._lacking(each)]
        lacking.sort(key=lambda pair: pair[1].point.window.start, reverse=True)
        older = [(each, found) for each, found in lacking if found.point is not each.newest]
        work = (partial(self._evaluate, each, found) for each, found in older)
        done = self._each("checks", work, len(older))
        newest = [(each, found) for each, found in lacking if found.point is each.newest]
        for each, found in [*newest, *_once_more(older[:done], newest)]:
            self._evaluate(each, found)
        self.reported.checks += done + len(newest)

    def _lacking(self, comparison: Comparison) -> Iterator[LackingVerdict]:
        for found in comparison.verdicts():
            if self._stopped():
                return
            yield found

    def _evaluate(self, comparison: Comparison, found: LackingVerdict) -> None:
        holdings, result = comparison.holdings, found.verdict.result
        evaluation = dg.AssetCheckEvaluation(
            asset_key=holdings.key,
            check_name=result.name,
            passed=result.passed,
            metadata=self._metadata(found.point, result),
            severity=dg.AssetCheckSeverity.WARN if result.severity == "warn" else dg.AssetCheckSeverity.ERROR,
            description=inert(result.summary),
            blocking=result.severity == "error" and result.name != COPIES_IN_PLACE.name,
            partition=found.window,
        )
        run = self._runs.run_for(holdings.subject) if found.changed else ""
        self._records.evaluated(evaluation, found.verdict.at, run)
        self._note(holdings.subject)

    def _metadata(self, point: RecoveryPoint, result: CheckResult) -> dict[str, dg.MetadataValue]:
        advice = {HINT: self._translator.written(result.advice, "")} if result.advice else {}
        return check_metadata({**result.metadata, **advice}, window=point.window.key, point=point.id)

    # What is gone

    def _gone(self, comparisons: Sequence[Comparison]) -> None:
        found = [(each, gone) for each in comparisons for gone in each.gone()]
        work = (partial(self._tell_gone, each, gone) for each, gone in found)
        self.reported.gone += self._each("gone", work, len(found))

    def _tell_gone(self, comparison: Comparison, gone: GoneWindow) -> None:
        subject = comparison.holdings.subject
        self._records.observe(gone.observation, gone.at)
        if gone.lost:
            evaluation = lost_evaluation(gone, self._translator.checks_have_windows(subject.source))
            told = self._records.evaluations(evaluation.asset_check_key, evaluation.partition)
            self._records.evaluated(evaluation, gone.at, self._runs.run_for(subject) if told else "")
        self._note(subject)


_Found = tuple[Comparison, LackingVerdict]


def _once_more(reported: Sequence[_Found], newest: Sequence[_Found]) -> Iterator[_Found]:
    """The verdicts of the newest window that Dagster had already, of checks of which older ones were reported."""
    names: dict[Comparison, set[str]] = {}
    for each, found in reported:
        names.setdefault(each, set()).add(found.verdict.result.name)
    for each, found in newest:
        names.get(each, set()).discard(found.verdict.result.name)
    for each, left in names.items():
        yield from ((each, found) for found in each.newest_verdicts() if found.verdict.result.name in left)
