"""What Dagster knows of the runs of a plan's assets, however they were launched."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from threading import Lock

import dagster as dg

from backup_platform.domain.ports import Clock
from backup_platform.domain.trust.latest import SKEW
from backup_platform.orchestration.subjects import WatchedAsset
from backup_platform.orchestration.translator import MAX_RUNTIME_TAG, PARTITION_TAG, RUN_KEY_TAG

SHORTEST_PAUSE = timedelta(minutes=1)
FIRST_PAUSE = timedelta(minutes=5)
LONGEST_PAUSE = timedelta(hours=3)
HELD_S = 120.0  # after that, the run exists, or the evaluation failed
SUBMITTED_WITHIN = timedelta(minutes=10)
LONGEST_RUN_S = 86_400.0  # of a run without the tag: one that was launched by hand and died before it began

ACTIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


class Runs:
    """Finds the subjects of a run by its asset selection, or by its job when it runs all of it."""

    def __init__(self, subjects: Iterable[WatchedAsset]) -> None:
        self._subjects = {subject.key: subject for subject in subjects}
        self._jobs: dict[str, list[WatchedAsset]] = {}
        for subject in self._subjects.values():
            self._jobs.setdefault(subject.job, []).append(subject)

    def materialized(self, run: dg.DagsterRun) -> list[WatchedAsset]:
        """What a run materialises; nothing for a run of something else, or of checks alone."""
        if run.asset_selection is None:
            return [] if run.asset_check_selection else self._jobs.get(run.job_name, [])
        return [self._subjects[key] for key in run.asset_selection if key in self._subjects]

    def concerns(self, run: dg.DagsterRun) -> bool:
        """Whether a run materialises a subject or may have run checks of one."""
        checks = {check.asset_key for check in run.asset_check_selection or ()}
        alone = run.asset_selection is not None and not run.asset_selection
        return bool(self.materialized(run)) or alone or not checks.isdisjoint(self._subjects)

    def subject_of(self, key: dg.AssetKey) -> WatchedAsset | None:
        """The subject whose asset it is."""
        return self._subjects.get(key)

    def active(self, instance: dg.DagsterInstance, now: datetime) -> dict[tuple[str, str], dg.RunRecord]:
        """Everything that is queued or running, by id of the subject and window."""
        records = instance.get_run_records(filters=dg.RunsFilter(statuses=ACTIVE))
        alive = [record for record in records if not _dead(record, now)]
        return {
            (each.id, record.dagster_run.tags.get(PARTITION_TAG, "")): record
            for record in alive
            for each in self.materialized(record.dagster_run)
        }

    def asked_since(self, instance: dg.DagsterInstance, then: datetime) -> set[tuple[str, str]]:
        """(id of the subject, window) of every run that was created since then."""
        records = instance.get_run_records(filters=dg.RunsFilter(created_after=then))
        runs = [record.dagster_run for record in records]
        return {(each.id, run.tags.get(PARTITION_TAG, "")) for run in runs for each in self.materialized(run)}

    def attempts(
        self, instance: dg.DagsterInstance, subject: WatchedAsset, window: str
    ) -> list[dg.RunRecord]:
        """Every run of a subject for a window, the newest first."""
        tags = {**subject.mark, PARTITION_TAG: window}
        records = instance.get_run_records(filters=dg.RunsFilter(tags=tags))
        return [record for record in records if subject in self.materialized(record.dagster_run)]


def _dead(record: dg.RunRecord, now: datetime) -> bool:
    """Whether a run is dead although Dagster does not say so: its process may have died without a message. No run
    lives longer than its `max_runtime`. A run that was created but not queued is submitted at once or never."""
    run = record.dagster_run
    if run.status == dg.DagsterRunStatus.QUEUED:
        return False
    lives = timedelta(seconds=float(run.tags.get(MAX_RUNTIME_TAG, LONGEST_RUN_S)))
    if run.status == dg.DagsterRunStatus.NOT_STARTED:
        lives = SUBMITTED_WITHIN
    return now.timestamp() > _begun(record) + lives.total_seconds()


def _begun(record: dg.RunRecord) -> float:
    return record.start_time or record.create_timestamp.timestamp()


def next_attempt(attempts: Iterable[dg.RunRecord]) -> int:
    """The number for the next run key. Runs may have been deleted, and Dagster never launches a key twice."""
    keys = [record.dagster_run.tags.get(RUN_KEY_TAG, "").rpartition("|")[2] for record in attempts]
    return max([len(keys), *(int(key) for key in keys if key.isdecimal())]) + 1


def why_wait(attempts: Iterable[dg.RunRecord], now: datetime, until: datetime | None = None) -> str:
    """Why a window with these attempts, newest first, must not be launched now; "" if it may be.

    The pause doubles with each attempt. It is at most half of the time that remains `until` it is too late. A run that
    a person cancelled is not launched again. Dagster only calls a run cancelled if somebody asked for its end; an
    interrupted run is called failed.
    """
    records = list(attempts)
    if not records:
        return ""
    if records[0].dagster_run.status == dg.DagsterRunStatus.CANCELED:
        return "its last run was cancelled"
    pause = min(FIRST_PAUSE * 2 ** min(len(records) - 1, 10), LONGEST_PAUSE)
    ended = records[0].end_time or _begun(records[0])
    if ended > (now + SKEW).timestamp():
        return ""  # the clock was ahead, and is right now
    if until is not None:
        remaining = max(until - datetime.fromtimestamp(ended, UTC), timedelta())
        pause = min(pause, max(remaining / 2, SHORTEST_PAUSE))
    wait = ended + pause.total_seconds() - now.timestamp()
    return f"{len(records)} attempts; next try in {wait:.0f} s" if wait > 0 else ""


class WindowClaims:
    """Which windows a schedule or a sensor has just asked for: whoever asks first has a window for a while. Safe for
    threads.

    Dagster creates runs only after the evaluation, and compares run keys of one schedule or sensor only. All
    evaluations of a code location are in one process, so that memory is enough.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._held: dict[tuple[str, str], tuple[str, float]] = {}  # by subject and window: who, and when

    def take(self, who: str, subject: str, window: str) -> bool:
        """Whether the window is free for `who`, the name of a schedule or a sensor; then it is taken."""
        now = self._clock.monotonic()
        with self._lock:
            self._held = {each: held for each, held in self._held.items() if now - held[1] < HELD_S}
            holder, _ = self._held.get((subject, window), (who, now))
            if holder == who:
                self._held[subject, window] = (who, now)
            return holder == who
