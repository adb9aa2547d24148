"""Which copies are missing. The repositories are asked, so a copy that was made without Dagster counts, and a copy
that is gone does not.

Every missing recovery point is launched, the newest first. A repository that does not answer is one incident, and
does not delay the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import dagster as dg

from backup_platform.actions.checks.table import COPIES_IN_PLACE
from backup_platform.alerting.couriers import Couriers
from backup_platform.domain.incidents.trouble import Trouble
from backup_platform.domain.model import RecoveryPoint
from backup_platform.domain.visible import inert
from backup_platform.errors import BackupError, RepositoryChangedError
from backup_platform.orchestration.assets.copies import in_place
from backup_platform.orchestration.runs import Runs, WindowClaims
from backup_platform.orchestration.sensors import presence
from backup_platform.orchestration.sensors import sweep as sweeping
from backup_platform.orchestration.sensors.bounded_call import BoundedCall
from backup_platform.orchestration.sensors.copies_cursor import CopiesCursor
from backup_platform.orchestration.sensors.missed_windows import ANSWER_WITHIN_S
from backup_platform.orchestration.sensors.still_safe import StillSafe
from backup_platform.orchestration.shown import log_of
from backup_platform.orchestration.subjects import WatchedAsset
from backup_platform.orchestration.translator import MAX_RUNTIME_TAG, BackupTranslator

if TYPE_CHECKING:
    from backup_platform.actions.points.stored import StoredPoints
    from backup_platform.app import App

T = TypeVar("T")

MOST_AT_ONCE = 4  # runs of one copy of one source: what was never copied is caught up a few windows at a time
LONGEST_QUIET = timedelta(minutes=15)
PRESENCE = {
    presence.AWAY: "repository {} is unreachable: nothing is copied to it",
    presence.EMPTY: "the place of repository {} is empty: nothing is copied to it",
    presence.ANOTHER: "repository {} is not a copy of the first one: nothing is copied to it",
}


def lacking_copies(
    translator: BackupTranslator, copies: Sequence[WatchedAsset]
) -> Callable[[dg.SensorEvaluationContext], dg.SensorResult]:
    """The evaluation of the sensor."""
    by_source: dict[str, list[WatchedAsset]] = {}
    for subject in copies:
        by_source.setdefault(subject.source, []).append(subject)
    app, runs = translator.app, Runs(copies)
    couriers, still_safe = Couriers(), StillSafe(translator)
    repositories = {name: AskedRepository(name, app.at(name)) for name in app.plan.repositories}
    known = [*by_source, *(repository.subject for repository in repositories.values())]

    def evaluate(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        memory = CopiesCursor.load(context, app, by_source, known, LONGEST_QUIET)
        sweep = CopiesSweep(translator, by_source, runs, repositories, context, memory)
        return sweep.result(
            sweeping.sweep(context, app, by_source, memory, sweep.visit, couriers, still_safe)
        )

    return evaluate


class AskedRepository:
    """A repository that may not answer: asked with a time limit, and in one evaluation not again once it failed."""

    def __init__(self, name: str, app: App) -> None:
        self.name = name
        self.problem: BackupError | None = None
        self.id = ""
        self._app = app
        self._call = BoundedCall()

    @property
    def subject(self) -> str:
        """The subject of this repository's incidents."""
        return f"repositories/{self.name}"

    def begin(self) -> None:
        """Forget the answers of the evaluation before."""
        self.problem, self.id = None, ""

    def ask(self, question: Callable[[App], T], same: str = "") -> T | None:
        """The answer to a question. None if there is none; then `problem` says why. `same` is the id that the
        repository must have."""
        if self.problem is not None:
            return None
        try:
            return self._call.ask(lambda: self._answer(question, same), ANSWER_WITHIN_S)
        except BackupError as error:
            self.problem = error
            return None

    def _answer(self, question: Callable[[App], T], same: str) -> T:
        """The answer of a repository that is there before and after the question, because an unmounted disk has no
        points either."""
        if not self.id:
            self.id = self._present(same)
        answer = question(self._app)
        if "://" not in self._app.bound.location:
            self._present(self.id)
        return answer

    def _present(self, same: str) -> str:
        info = presence.answering(self._app)
        if same and info.id != same:
            first = next(iter(self._app.plan.repositories))
            raise RepositoryChangedError(
                f"At {info.location} is the repository {info.id[:8]}, created at {info.created_at:%Y-%m-%d %H:%M} UTC. "
                f"The first repository, {first}, is {same[:8]} now.",
                hint="One of the two is the wrong one. Mount the right disk, or correct the plan.",
            )
        return info.id


class CopiesSweep:
    """One evaluation: visits sources, collects runs to launch."""

    def __init__(
        self,
        translator: BackupTranslator,
        by_source: Mapping[str, Sequence[WatchedAsset]],
        runs: Runs,
        repositories: Mapping[str, AskedRepository],
        context: dg.SensorEvaluationContext,
        memory: CopiesCursor,
    ) -> None:
        self._translator = translator
        self._app = translator.app
        self._by_source = by_source
        self._repositories = repositories
        self._context = context
        self._memory = memory
        self._now = self._app.clock.now()
        self._launcher = sweeping.Launcher(
            context, translator, runs, WindowClaims(self._app.clock), self._now
        )
        for repository in repositories.values():
            repository.begin()

    def visit(self, source: str) -> bool:
        """Visit one source with all its copies. Returns whether to visit the others. `missed_windows` reports a
        first repository that does not answer."""
        if not self._memory.quiet.holds(source, self._now):
            self._visit(source)
        return True

    def _visit(self, source: str) -> None:
        first = next(iter(self._repositories.values()))
        points = first.ask(lambda app: app.points.all(source))
        if points is None:
            log_of(self._context).warning("%s: %s", source, first.problem)
            return
        found: dict[str, StoredPoints] = {}
        complete = [self._visit_copy(subject, points, found, first.id) for subject in self._by_source[source]]
        settled = self._judge(source, points, found)
        if all(complete) and settled:
            # A backup by hand is seen within LONGEST_QUIET.
            self._memory.quiet.begin(source, self._now, self._app.windows.schedule(source).current(self._now))

    def result(self, problem: str) -> dg.SensorResult:
        return dg.SensorResult(
            run_requests=self._launcher.requests,
            skip_reason=None
            if self._launcher.requests
            else inert(problem) or "no copy is missing that can be made now",
            cursor=self._memory.dump(),
        )

    def _visit_copy(
        self,
        subject: WatchedAsset,
        points: Sequence[RecoveryPoint],
        found: dict[str, StoredPoints],
        same: str,
    ) -> bool:
        """Launch what one copy lacks. Returns whether it is known to lack nothing."""
        repository = self._repositories[subject.repository]
        answer = repository.ask(lambda app: app.copies.find_stored(points), same)
        self._tell_presence(repository)
        if answer is None:
            return False
        found[subject.repository] = answer
        for point in self._to_launch(subject.source, points, answer.lacking):
            if self._launcher.launch(subject, point.window.key):
                self._memory.verdicts[subject.source].launch(point.window.key)
        return not answer.lacking

    def _to_launch(
        self, source: str, points: Sequence[RecoveryPoint], lacking: Sequence[RecoveryPoint]
    ) -> list[RecoveryPoint]:
        """The windows to launch, newest first. Any run also copies missing points of windows that are no longer in
        the schedule. If only such points are missing, the run of the newest window copies them."""
        found = self._newest(source, lacking, MOST_AT_ONCE)
        return found if found or not lacking else self._newest(source, points, 1)

    def _newest(self, source: str, points: Sequence[RecoveryPoint], most: int) -> list[RecoveryPoint]:
        has = self._translator.has_window
        return list(islice((p for p in reversed(points) if has(source, p.window.key)), most))

    def _judge(self, source: str, points: Sequence[RecoveryPoint], found: Mapping[str, StoredPoints]) -> bool:
        """Have verdicts recorded that are new. Whether there is one for every window."""
        verdicts = self._memory.verdicts[source]
        for point in verdicts.unsettled(points, self._now):
            new = verdicts.note(point, in_place(self._app, point, found))
            if new and self._translator.has_window(source, point.window.key):
                self._launcher.requests.append(self._check(source, point.window.key))
        self._tell(source, COPIES_IN_PLACE.name, verdicts.problem(source))
        return verdicts.settled

    def _check(self, source: str, window: str) -> dg.RunRequest:
        """A run that records the verdict. A sensor can record one per window only, in Dagster 1.13: the second has the
        same place in the table."""
        subject = self._by_source[source][0]
        check = self._translator.copies_check_spec(source).key
        return dg.RunRequest(
            run_key=f"{check.to_user_string()}|{window}|{self._now.isoformat()}",
            job_name=subject.job,
            partition_key=window,
            asset_check_keys=[check],
            tags={MAX_RUNTIME_TAG: subject.tags[MAX_RUNTIME_TAG]},
        )

    def _tell_presence(self, repository: AskedRepository) -> None:
        state = presence.state_of(repository.problem) if repository.problem else ""
        for each, title in PRESENCE.items():
            problem = (
                Trouble("", title.format(repository.name), str(repository.problem)) if each == state else None
            )
            self._tell(repository.subject, each, problem)

    def _tell(self, subject: str, what: str, problem: Trouble | None) -> None:
        self._memory.desk.observe(subject, what, problem, self._now)
