"""What went wrong: runs that failed and checks that failed, one incident per asset and kind of trouble.

Run status changes are polled from a cursor, each run's check evaluations with it: Dagster's run-failure
sensors do not see failed checks and handle five runs a tick.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import dagster as dg

from backup_platform.alerting.couriers import Couriers
from backup_platform.domain.incidents.book import SETTLES
from backup_platform.domain.incidents.policy import AlertPolicy, settles_after
from backup_platform.domain.incidents.trouble import Trouble
from backup_platform.domain.visible import inert
from backup_platform.domain.words import how_many
from backup_platform.orchestration.assets.checks import HINT, NOT_JUDGED
from backup_platform.orchestration.runs import Runs
from backup_platform.orchestration.sensors import failed_ticks as ticks
from backup_platform.orchestration.sensors.kept import SensorState
from backup_platform.orchestration.sensors.long_runs import tell_long_runs, where_of
from backup_platform.orchestration.sensors.outbox import ALL, Desk
from backup_platform.orchestration.sensors.still_safe import StillSafe
from backup_platform.orchestration.sensors.sweep import send
from backup_platform.orchestration.shown import log_of
from backup_platform.orchestration.subjects import WatchedAsset
from backup_platform.orchestration.translator import MISSED_TAG, BackupTranslator

if TYPE_CHECKING:
    from backup_platform.app import App

BUDGET_S = 20.0  # Dagster ends a sensor after 60
PAGE = 200

_T = dg.DagsterEventType
_End: TypeAlias = Literal[
    dg.DagsterEventType.RUN_SUCCESS, dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_CANCELED
]
_ENDS: tuple[_End, ...] = (_T.RUN_SUCCESS, _T.RUN_FAILURE, _T.RUN_CANCELED)
DIED = "The process of the run died, or was ended, and left no message. The end of its log may say why."
_DETAILS = {_T.ASSET_CHECK_EVALUATION, _T.ASSET_MATERIALIZATION, _T.STEP_FAILURE, _T.STEP_SUCCESS}


@dataclass
class AlertsCursor:
    """What the sensor keeps between evaluations: its cursor. `position` is the storage id of the last end of a run
    that was judged; Dagster gives them to events of all types in one order."""

    desk: Desk
    kept: SensorState
    position: int

    @classmethod
    def load(
        cls, context: dg.SensorEvaluationContext, subjects: Collection[str], policy: AlertPolicy
    ) -> AlertsCursor:
        """The first evaluation starts at now: what happened before is history, not news."""
        kept = SensorState.load(context)
        state, instance = kept.state, context.instance
        before = state.get("positions", {}).values()  # of an older version: one for each type
        known = state.get("position", min(before, default=None))
        position = max(_latest(instance, end) for end in _ENDS) if known is None else known
        return cls(Desk(state.get("desk"), subjects, policy), kept, position)

    def dump(self) -> str:
        return self.kept.cursor(self.state())

    def state(self) -> dict[str, Any]:
        return {"desk": self.desk.state(), "position": self.position}


def alerts(
    translator: BackupTranslator,
    subjects: Sequence[WatchedAsset],
    watched: Sequence[str] = (),
    *,
    running: bool = True,
) -> Callable[[dg.SensorEvaluationContext], dg.SensorResult]:
    """The evaluation of the sensor. `watched` are the names of the other sensors, and of the schedules;
    `running` says whether all of them are on until somebody switches them off."""
    runs, couriers, still_safe = Runs(subjects), Couriers(), StillSafe(translator)
    ids = [*(subject.id for subject in subjects), *(ticks.subject_of(name) for name in watched)]

    def evaluate(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        app = translator.app
        memory = AlertsCursor.load(context, ids, app.plan.alerting.policy)
        watch = Watch(app, runs, context.instance, memory, app.clock.now())
        deadline = app.clock.monotonic() + BUDGET_S
        seen = 0
        ticks.tell_failures(context, memory.desk, watched, app.clock.now(), running=running)
        tell_long_runs(context.instance, memory.desk, runs, subjects, app)
        for record in _ended(context.instance, memory.position):
            _judged(context, watch, record)
            seen += 1
            if app.clock.monotonic() >= deadline:
                break
        problem = send(
            context, app, memory.desk, couriers, still_safe, lambda: memory.kept.remember(memory.state())
        )
        return dg.SensorResult(
            skip_reason=inert(problem) or f"{how_many(seen, 'run')} ended", cursor=memory.dump()
        )

    return evaluate


def _judged(context: dg.SensorEvaluationContext, watch: Watch, record: dg.EventLogRecord) -> None:
    """Evaluate one run. If that fails, it is reported, and the other runs are still evaluated."""
    try:
        watch.run_ended(record)
    except Exception as error:
        log_of(context).exception("run %s", record.run_id)
        watch.judged(record, error)
    else:
        watch.judged(record, None)


class Watch:
    """Turns the end of runs into observations of incidents."""

    def __init__(
        self, app: App, runs: Runs, instance: dg.DagsterInstance, memory: AlertsCursor, now: datetime
    ) -> None:
        self._windows, self._alerting = app.windows, app.plan.alerting
        self._runs = runs
        self._instance = instance
        self._memory = memory
        self._now = now

    def run_ended(self, record: dg.EventLogRecord) -> None:
        """One run, and the evaluations of its checks. The position moves with it."""
        end = record.event_log_entry.get_dagster_event()
        self._memory.position = record.storage_id
        run = self._instance.get_run_by_id(record.run_id)
        if run is None or MISSED_TAG in run.tags or not self._runs.concerns(run):
            return
        details = self._instance.get_records_for_run(run.run_id, of_type=_DETAILS).records
        entries = [detail.event_log_entry for detail in details]
        where = where_of(run, self._alerting)
        for subject in self._runs.materialized(run):
            failure = self._failure(subject, end, entries)
            if failure or _worked(subject, entries):
                code = _code(subject, entries)
                problem = (
                    Trouble(subject.name, f"{subject.work} failed", failure, where, code) if failure else None
                )
                settles = self._settles(subject)
                since = datetime.fromtimestamp(record.timestamp, UTC)
                self._memory.desk.observe(subject.id, "run", problem, self._now, settles=settles, since=since)
        for entry in entries:
            evaluation = entry.get_dagster_event().event_specific_data
            if isinstance(evaluation, dg.AssetCheckEvaluation):
                self._judge(evaluation, where)

    def judged(self, record: dg.EventLogRecord, error: Exception | None) -> None:
        what = f"run {record.run_id} cannot be evaluated: look at it in the Dagster UI"
        problem = Trouble("", what, f"{type(error).__name__}: {error}") if error else None
        self._memory.desk.observe(ALL, "judge", problem, self._now)

    def _failure(self, subject: WatchedAsset, end: dg.DagsterEvent, entries: list[dg.EventLogEntry]) -> str:
        """Why nothing was captured; "" if something was, or if another step failed before this one began. If a step
        failed only because of its checks, the checks report it."""
        if end.event_type == _T.RUN_SUCCESS or _succeeded(subject, entries):
            return ""
        if end.event_type == _T.RUN_CANCELED:
            return "The run was cancelled."
        steps = {entry.step_key: entry.get_dagster_event() for entry in entries if _is_failure(entry)}
        if not steps:
            return _plainly(end.message) or "The run failed."
        step = steps.get(subject.step)
        if step is None:
            return ""
        data = step.step_failure_data
        error = data.error.cls_name if data.error else ""
        if error == "DagsterAssetCheckFailedError":
            return ""
        if error == "DagsterExecutionInterruptedError":
            return _plainly(end.message) or "The run was interrupted."
        described = data.user_failure_data.description if data.user_failure_data else None
        return described or (data.error.message.strip() if data.error else "The step failed.")

    def _judge(self, evaluation: dg.AssetCheckEvaluation, where: str) -> None:
        subject, name = self._runs.subject_of(evaluation.asset_key), evaluation.check_name
        if subject is None or evaluation.asset_check_key not in subject.checks:
            return
        if NOT_JUDGED in evaluation.metadata:  # the run that failed is told
            return
        verb = "warns" if evaluation.severity == dg.AssetCheckSeverity.WARN else "failed"
        found = _sentences(evaluation.description, evaluation.metadata.get(HINT))
        warning = evaluation.severity == dg.AssetCheckSeverity.WARN
        problem = Trouble(subject.name, f"check {name} {verb}", found, where, _aspect(evaluation), warning)
        # The incident is of the check, and each window has a verdict of its own.
        over = (
            f"check {name} passes again",
            f"{where} What another window's check found stands until that is run again.",
        )
        what = f"check {name}"
        self._memory.desk.observe(
            subject.id,
            what,
            None if evaluation.passed else problem,
            self._now,
            over if subject.source else None,
            settles=self._settles(subject),
        )

    def _settles(self, subject: WatchedAsset) -> timedelta:
        """For how long the subject has not failed when an incident that came and went is over."""
        window = self._windows.schedule(subject.source).current(self._now) if subject.source else None
        return settles_after(window.end - window.start) if window else SETTLES


def _code(subject: WatchedAsset, entries: list[dg.EventLogEntry]) -> str:
    """The class of the error that a step failed with: another one is news, although the incident is known."""
    for entry in entries:
        if entry.step_key == subject.step and _is_failure(entry):
            failure = entry.get_dagster_event().step_failure_data.user_failure_data
            value = failure.metadata.get("error") if failure and failure.metadata else None
            return str(value.value) if value else ""
    return ""


def _aspect(evaluation: dg.AssetCheckEvaluation) -> str:
    """What a check that lists differences found: another difference is another one."""
    value = evaluation.metadata.get("difference")
    return blake2b(str(value.value).encode(), digest_size=8).hexdigest() if value else ""


def _sentences(*parts: str | dg.MetadataValue[Any] | None) -> str:
    """Joined, each with the full stop that the text of a check does without."""
    texts = [str(part.value if isinstance(part, dg.MetadataValue) else part or "").strip() for part in parts]
    return " ".join(text if text.endswith((".", "!", "?", "…")) else f"{text}." for text in texts if text)


def _ended(instance: dg.DagsterInstance, position: int) -> list[dg.EventLogRecord]:
    """Ends of runs after the position, in the order in which they were recorded. Of no type are there more than of
    the one whose page is full: after its last one, something may be lacking."""
    found: list[dg.EventLogRecord] = []
    horizon = None
    for end in _ENDS:
        after = dg.RunStatusChangeRecordsFilter(event_type=end, after_storage_id=position)
        page = instance.fetch_run_status_changes(after, limit=PAGE, ascending=True).records
        found += page
        if len(page) == PAGE:
            horizon = min(horizon or page[-1].storage_id, page[-1].storage_id)
    known = [record for record in found if horizon is None or record.storage_id <= horizon]
    return sorted(known, key=lambda record: record.storage_id)


def _latest(instance: dg.DagsterInstance, end: _End) -> int:
    newest = instance.fetch_run_status_changes(dg.RunStatusChangeRecordsFilter(event_type=end), limit=1)
    return newest.records[0].storage_id if newest.records else 0


def _is_failure(entry: dg.EventLogEntry) -> bool:
    return entry.get_dagster_event().event_type == _T.STEP_FAILURE


def _plainly(message: str | None) -> str:
    """What Dagster says of a run that no step says anything of."""
    return DIED if message and "outside the execution context" in message else message or ""


def _succeeded(subject: WatchedAsset, entries: list[dg.EventLogEntry]) -> bool:
    return any(
        entry.step_key == subject.step and entry.get_dagster_event().event_type == _T.STEP_SUCCESS
        for entry in entries
    )


def _worked(subject: WatchedAsset, entries: list[dg.EventLogEntry]) -> bool:
    """Whether the run was seen to make the asset. What did not run did not work."""
    events = [entry.get_dagster_event() for entry in entries]
    return any(
        event.event_type == _T.ASSET_MATERIALIZATION and event.asset_key == subject.key for event in events
    )
