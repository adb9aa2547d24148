"""Look at every place of the plan's `coverage`. One that cannot be looked at is a finding, and stops no other."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from backup_platform.actions.coverage.bucket import Bucket
from backup_platform.actions.coverage.first_seen import FirstSeen
from backup_platform.domain.coverage import (
    Coverage,
    JudgedPlace,
    NewSourceNames,
    PlaceCoverage,
    Surroundings,
    judge,
    not_looked,
)
from backup_platform.domain.ports import Clock
from backup_platform.errors import BackupError, PlanError
from backup_platform.extras import not_installed
from backup_platform.kinds import registry
from backup_platform.kinds.kind import KindSurvey, LookContext, PlannedSource, SourceContext
from backup_platform.plan.coverage import AssetsPlace, BesidePlace, BucketPlace, InsidePlace

if TYPE_CHECKING:
    from backup_platform.kinds.config import KindConfig
    from backup_platform.plan import Plan, SourceConfig
    from backup_platform.plan.coverage import CoveragePlace

_DEFECT = "This is a defect in backup-platform, and says nothing of what is protected."


@dataclass(frozen=True)
class CoverageSurvey:
    """`state` is the directory of what this host remembers; `context` is what a source of the plan is built with.
    `bucket` opens one of a place. `assets` lists those of the code location that loads the plan; None outside Dagster,
    where nobody knows them."""

    plan: Plan
    plan_path: str
    clock: Clock
    state: str
    context: Callable[[str], SourceContext]
    bucket: Callable[[str, BucketPlace], Bucket]
    assets: Callable[[], Surroundings] | None = None

    def run(self) -> Coverage:
        """Each place of the plan, in its order."""
        now, elsewhere = self.clock.now(), self._elsewhere()
        seen, names = FirstSeen(self.state, self.plan_path, now), NewSourceNames(self.plan.sources)
        places = [
            self._judged(
                JudgedPlace(name, place.exceptions, seen.of_place(name), names.of, place.backed_up_by), place
            )
            for name, place in self.plan.coverage.items()
            if name not in elsewhere
        ]
        seen.keep(list(self.plan.coverage))
        return Coverage(tuple(places), now, elsewhere)

    def _elsewhere(self) -> tuple[str, ...]:
        assets = [name for name, place in self.plan.coverage.items() if isinstance(place, AssetsPlace)]
        return () if self.assets else tuple(assets)

    def _judged(self, judged: JudgedPlace, place: CoveragePlace) -> PlaceCoverage:
        try:
            return judge(judged, self._look(judged.name, place))
        except Exception as error:  # one that nobody foresaw must not keep the findings of other places
            known = error if isinstance(error, BackupError) else not_installed(error)
            if known is None:
                return not_looked(judged.name, f"{type(error).__name__}: {error}", (_DEFECT,))
            return not_looked(judged.name, known.message, known.advice)

    def _look(self, name: str, place: CoveragePlace) -> Surroundings:
        if isinstance(place, AssetsPlace):
            assert self.assets is not None, "such places are left to Dagster"
            return self.assets()
        if isinstance(place, BucketPlace):
            return self.bucket(name, place).surroundings()
        if isinstance(place, InsidePlace):
            return self._inside(place.inside)
        if isinstance(place, BesidePlace):
            source = self.plan.sources[place.beside]
            survey = _survey(source.kind)
            return survey.look(survey.beside(source), self._around())
        return _survey(place.kind).look(place, self._around())

    def _inside(self, name: str) -> Surroundings:
        source = self.plan.sources[name]
        left_out = source.source_kind.left_out
        assert left_out is not None, "the plan refuses it"
        return Surroundings(f"the source {name}", left_out(source, self.context(name)), "is not stored")

    def _around(self) -> LookContext:
        here = self.context("")
        return LookContext(
            here.secret,
            here.path,
            here.repositories,
            [self._planned(name, source) for name, source in self.plan.sources.items()],
        )

    def _planned(self, name: str, source: SourceConfig) -> PlannedSource:
        path = ""
        if source.source_kind.local:
            with suppress(PlanError):  # one that this host knows no way to
                path = self.plan.path(source.location)
        return PlannedSource(name, source.kind, cast("KindConfig", source), path)


def _survey(kind: str) -> KindSurvey[Any, Any]:
    found = registry.find(kind)
    assert found is not None, "the plan refuses it"
    assert found.survey is not None, "the plan refuses it"
    return found.survey
