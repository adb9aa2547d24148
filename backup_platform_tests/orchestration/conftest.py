"""A plan with real sources, a real repository and a Dagster instance; only the clock is ours.

Dagster takes the current time from the machine and refuses partitions of the future, so that the tests'
clock starts two days ago and passes the machine's in no test.
"""

from __future__ import annotations

import ctypes
import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest.mock import patch

import dagster as dg
import pytest

from backup_platform.actions.backup.run import BackupResult
from backup_platform.app import App
from backup_platform.clock import SILENT
from backup_platform.domain.ports import AlertChannel, Progress
from backup_platform.errors import BackupError, ConflictError
from backup_platform.orchestration.build import build_definitions
from backup_platform.orchestration.sensors.sweep import signature
from backup_platform.orchestration.translator import BackupTranslator
from backup_platform.plan import Plan
from backup_platform.services.protocols import BackupService

DAY = timedelta(days=1)


class SettableClock:
    def __init__(self, now: datetime) -> None:
        self.time = now
        self.pace = 0.0  # seconds that pass between two readings of `monotonic`
        self._seconds = 0.0

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        self._seconds += self.pace
        return self._seconds + time.monotonic()


class Channel:
    """Receives alerts; refuses them while it is `down`."""

    name = "test://"

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []
        self.down = False

    def send(self, title: str, body: str, *, over: bool = False) -> None:
        if self.down:
            raise BackupError("the channel is down")
        self.sent.append((title, body))


@dataclass
class FaultyBackups:
    """Backs up, unless a fault comes first."""

    backups: BackupService
    faults: Callable[[], list[BaseException]]

    def run(
        self, source: str, *, window: str | None = None, force: bool = False, progress: Progress = SILENT
    ) -> BackupResult:
        if faults := self.faults():
            raise faults.pop(0)
        return self.backups.run(source, window=window, force=force, progress=progress)


class FaultyApp(App):
    """The app, with the alert channel and the faults that a test asks for."""

    channel: Channel
    faults: list[BaseException]

    @cached_property
    def backups(self) -> BackupService:
        return FaultyBackups(super().backups, lambda: self.faults)

    def channels(self) -> Sequence[AlertChannel]:
        return [self.channel]


class World:
    """A plan in a directory, and what Dagster makes of it."""

    def __init__(self, root: Path, instance: dg.DagsterInstance) -> None:
        self.root = root
        self.instance = instance
        midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        self.clock = SettableClock(midnight - 2 * DAY + timedelta(hours=12))
        self.channel = Channel()
        self.cursor: str | None = None
        self.tree, self.database = root / "uploads", root / "shop.db"
        self.tree.mkdir()
        (self.tree / "a.txt").write_text("hello")
        with closing(sqlite3.connect(self.database)) as connection, connection:
            connection.execute("create table orders (id integer primary key, what text)")
            connection.execute("insert into orders (what) values ('tea')")
        since = f"{self.clock.time - 5 * DAY:%Y-%m-%d}"
        self.plan: dict[str, Any] = {
            "repository": {"path": str(root / "repository")},
            "sources": {
                "uploads": {"files": str(self.tree), "every": "day", "since": since},
                "shop": {"sqlite": str(self.database), "every": "day", "at": "02:15", "since": since},
            },
        }

    @property
    def window(self) -> str:
        """The key of the current window of a daily source in UTC."""
        return f"{self.clock.time:%Y-%m-%d}"

    def load(self, *, init: bool = True) -> World:
        """Write the plan, and make definitions of it anew; with a repository, unless told otherwise."""
        path = self.root / "backup.yaml"
        path.write_text(json.dumps(self.plan))  # which is YAML, with every string quoted
        self.app = FaultyApp(Plan.load(str(path)), str(path), self.clock)
        self.app.channel, self.app.faults = self.channel, []
        if init:
            with suppress(ConflictError):
                self.app.setup.init()
        self.translator = BackupTranslator(self.app)
        self.definitions = build_definitions(self.translator)
        self.repository = self.definitions.get_repository_def()
        return self

    def launch(
        self, source: str = "uploads", window: str | None = None, **options: Any
    ) -> dg.ExecuteInProcessResult:
        """A run as the schedule launches it: its job, one source, its tags."""
        tags = self.translator.run_tags(source)
        return self.job_of(source).execute_in_process(
            instance=self.instance,
            partition_key=window or self.window,
            asset_selection=[self.translator.asset_key(source)],
            raise_on_error=False,
            tags=tags,
            **options,
        )

    def job_of(self, source: str) -> dg.JobDefinition:
        key = self.translator.asset_key(source)
        jobs = [
            job
            for job in self.repository.get_all_jobs()
            if job.name.startswith(
                ("backup_day", "backup_hour", "backup_every", "backup_week", "backup_cron")
            )
        ]
        return next(job for job in jobs if key in job.asset_layer.executable_asset_keys)

    def watched(self) -> str:
        """The cursor of a sensor that has watched all sources since five days ago."""
        since = (self.clock.time - 5 * DAY).replace(hour=0).isoformat()
        schedules = {source: self.app.windows.schedule(source) for source in self.app.plan.sources}
        return json.dumps({"known": {source: [signature(each), since] for source, each in schedules.items()}})

    def sensor(self, name: str, cursor: str | None = None) -> Any:
        """One evaluation of a sensor, with the machinery that Dagster puts around it."""
        if name == "backup_missed_windows" and cursor is None:
            cursor = self.watched()
        context = dg.build_sensor_context(
            instance=self.instance, cursor=cursor, repository_def=self.repository, sensor_name=name
        )
        return self.repository.get_sensor_def(name).evaluate_tick(context)

    def schedule(self, name: str, tick: datetime) -> Any:
        """One evaluation of a schedule, with the machinery that Dagster puts around it."""
        there = patch.object(
            dg.ScheduleEvaluationContext, "instance", self.instance
        )  # none that lives in memory is
        context = dg.build_schedule_context(
            self.instance, scheduled_execution_time=tick, repository_def=self.repository
        )
        with there, context:
            return self.repository.get_schedule_def(name).evaluate_tick(context)

    def checks_alone(
        self, *names: str, key: dg.AssetKey | None = None, partition: bool = True
    ) -> dg.ExecuteInProcessResult:
        """A run as the UI launches it for checks without their asset; "Execute all" names no partition."""
        key = key or self.translator.asset_key("uploads")
        selection = {dg.AssetCheckKey(key, name) for name in names}
        job = self.repository.get_job("__ASSET_JOB")
        subset = job.get_subset(asset_selection=set(), asset_check_selection=selection)
        return subset.execute_in_process(
            instance=self.instance, partition_key=self.window if partition else None, raise_on_error=False
        )

    def damage_largest_pack(self) -> None:
        """Change one bit in the middle of it."""
        packs = (path for path in (self.root / "repository" / "packs").rglob("*") if path.is_file())
        largest = max(packs, key=lambda path: path.stat().st_size)
        data = bytearray(largest.read_bytes())
        data[len(data) // 2] ^= 1
        largest.chmod(0o600)
        largest.write_bytes(data)

    def evaluations(self, run: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
        return {evaluation.check_name: evaluation for evaluation in run.get_asset_check_evaluations()}

    def failure(self, run: dg.ExecuteInProcessResult) -> Any:
        """What the failed step says."""
        [event] = [event for event in run.all_events if event.event_type == dg.DagsterEventType.STEP_FAILURE]
        return event.step_failure_data


def fresh_world(tmp_path: Path, instance: dg.DagsterInstance) -> World:
    (tmp_path / "world").mkdir()
    return World(tmp_path / "world", instance)


@pytest.fixture
def unloaded(tmp_path: Path) -> Iterator[World]:
    """For tests that change the plan before they load it. The instance keeps its records in memory."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield fresh_world(tmp_path, instance)


@pytest.fixture
def world_on_disk(tmp_path: Path) -> Iterator[World]:
    """With the storage of a new DAGSTER_HOME: a run takes four times as long as one in memory."""
    (tmp_path / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as instance:
        yield fresh_world(tmp_path, instance).load()


@pytest.fixture
def world(unloaded: World) -> World:
    return unloaded.load()


@contextmanager
def bound_by_modes() -> Iterator[None]:
    """Root reads every file; without these capabilities of its thread, it is bound by modes as others are."""
    cap_dac_override, cap_dac_read_search = 1, 2
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    before, without = (ctypes.c_uint32 * 6)(), (ctypes.c_uint32 * 6)()
    for data in (before, without):
        assert libc.capget(header, data) == 0
    without[0] &= ~(1 << cap_dac_override | 1 << cap_dac_read_search)
    assert libc.capset(header, without) == 0
    try:
        yield
    finally:
        assert libc.capset(header, before) == 0
