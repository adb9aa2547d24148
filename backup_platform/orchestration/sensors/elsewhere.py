"""What happened outside of this Dagster instance: at the command line, in another instance, or before it was lost.

The repositories are asked, and what the instance does not show is reported to it without runs. What a source looks
like is kept as a digest, so that only what changed is compared with the instance.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

import dagster as dg

from backup_platform.domain.visible import inert
from backup_platform.domain.words import how_many
from backup_platform.errors import BackupError, RepositoryError
from backup_platform.orchestration.runs import Runs
from backup_platform.orchestration.sensors.bounded_call import BoundedCall
from backup_platform.orchestration.sensors.missed_windows import ANSWER_WITHIN_S, IF_MEANT
from backup_platform.orchestration.sensors.outbox import read_cursor
from backup_platform.orchestration.sensors.sweep import BUDGET_S
from backup_platform.orchestration.shown import log_of
from backup_platform.orchestration.subjects import WatchedAsset
from backup_platform.orchestration.translator import BackupTranslator
from backup_platform.orchestration.view.answers import Answer, ask
from backup_platform.orchestration.view.comparison import Comparison
from backup_platform.orchestration.view.gathering import holdings
from backup_platform.orchestration.view.holdings import Holdings
from backup_platform.orchestration.view.records import DagsterRecords
from backup_platform.orchestration.view.sync import Reported, Sync
from backup_platform.repository.records.forgotten import ForgottenPoint

MOST_ASSETS = 25  # that are compared in one evaluation: the instance is asked some ten times for each
COMPARED_AGAIN = timedelta(hours=1)  # although nothing changed: somebody may have wiped the asset


@dataclass
class ElsewhereCursor:
    """What the sensor keeps: the id of the first repository, and by asset what it looked like when Dagster showed all
    of it, and when that was."""

    repository: str = ""
    shown: dict[str, tuple[str, float]] = field(default_factory=dict)

    @classmethod
    def load(cls, cursor: str | None, assets: Sequence[WatchedAsset]) -> ElsewhereCursor:
        state = read_cursor(cursor)
        shown = {name: (str(digest), float(at)) for name, (digest, at) in state.get("shown", {}).items()}
        known = {subject.id for subject in assets}
        return cls(str(state.get("repository", "")), {n: each for n, each in shown.items() if n in known})

    def dump(self) -> str:
        return json.dumps({"repository": self.repository, "shown": self.shown})


def elsewhere(
    translator: BackupTranslator, assets: Sequence[WatchedAsset]
) -> Callable[[dg.SensorEvaluationContext], dg.SensorResult]:
    """The evaluation of the sensor."""
    repositories = _Repositories(translator)

    def evaluate(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        memory = ElsewhereCursor.load(context.cursor, assets)
        try:
            answers = repositories.answers()
            problem = _other_repository(answers, memory, context.sensor_name)
        except BackupError as error:  # `missed_windows` tells of it
            problem = translator.told(error)
        if problem:
            return dg.SensorResult(skip_reason=inert(problem), cursor=memory.dump())
        done = _report(translator, context, memory, list(holdings(translator, assets, answers)))
        return dg.SensorResult(skip_reason=_told(done), cursor=memory.dump())

    return evaluate


class _Repositories:
    """All repositories of the plan, each asked with a time limit."""

    def __init__(self, translator: BackupTranslator) -> None:
        self._apps = {name: translator.app.at(name) for name in translator.app.plan.repositories}
        self._calls = {name: BoundedCall() for name in self._apps}
        self._read: dict[str, dict[str, ForgottenPoint]] = {name: {} for name in self._apps}

    def answers(self) -> dict[str, Answer]:
        """Copies that do not answer are left out. Raises BackupError when the first repository does not."""
        first, *others = self._apps
        found = {first: self._ask(first)}
        for name in others:
            try:
                found[name] = self._ask(name)
            except RepositoryError:
                continue
        return found

    def _ask(self, name: str) -> Answer:
        return self._calls[name].ask(partial(ask, self._apps[name], self._read[name]), ANSWER_WITHIN_S)


def _other_repository(answers: Mapping[str, Answer], memory: ElsewhereCursor, sensor: str) -> str:
    """Why nothing is reported: of another repository, every point that Dagster shows would be lost."""
    app = next(iter(answers.values())).app
    now = app.repository.info.id
    if app.recognising.pin or not memory.repository:
        memory.repository = now
    if memory.repository == now:
        return ""
    text = f"The repository is {now[:8]}, and was {memory.repository[:8]} before: nothing is reported."
    return f"{text} {IF_MEANT.format(sensor)}"


def _report(
    translator: BackupTranslator,
    context: dg.SensorEvaluationContext,
    memory: ElsewhereCursor,
    found: Sequence[Holdings],
) -> Reported:
    app, records = translator.app, DagsterRecords(context.instance)
    now, deadline = app.clock.now(), app.clock.monotonic() + BUDGET_S
    active = Runs([each.subject for each in found]).active(context.instance, now)
    due = [each for each in found if not _is_shown(memory, each, now.timestamp())][:MOST_ASSETS]
    compared = [Comparison(each, records, active) for each in due]
    done = Sync(translator, records, lambda: app.clock.monotonic() >= deadline).run(compared)
    for each in compared if done.complete else ():
        if not each.busy:
            memory.shown[each.holdings.subject.id] = (each.holdings.digest, now.timestamp())
    if done.any:
        log_of(context).info("%s: %s", ", ".join(done.sources), _told(done))
    return done


def _is_shown(memory: ElsewhereCursor, each: Holdings, now: float) -> bool:
    digest, at = memory.shown.get(each.subject.id, ("", 0.0))
    return digest == each.digest and at <= now < at + COMPARED_AGAIN.total_seconds()


def _told(done: Reported) -> str:
    return ", ".join(_parts(done)) or "Dagster shows what the repositories hold"


def _parts(done: Reported) -> Iterator[str]:
    if done.points:
        yield f"{how_many(done.points, 'point')} reported"
    if done.checks:
        yield f"{how_many(done.checks, 'check result')} reported"
    if done.gone:
        yield f"{how_many(done.gone, 'window')} without a point any more reported"
    if not done.complete:
        yield "the next evaluation goes on"
