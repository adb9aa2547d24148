"""The records of a Dagster instance about windows and checks: read, and written without a run, with their real times.

`report_runless_asset_event` of Dagster writes the same events, but only with the present time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.events import AssetObservationData, StepMaterializationData
from dagster._core.instance.utils import RUNLESS_JOB_NAME, RUNLESS_RUN_ID
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecord,
    AssetCheckExecutionRecordStatus,
)

from backup_platform.orchestration.view.batches import batched

_T = dg.DagsterEventType
PLANNED, PASSED = AssetCheckExecutionRecordStatus.PLANNED, AssetCheckExecutionRecordStatus.SUCCEEDED
POINT = "recovery_point"  # in the metadata of materialisations and evaluations
AT_ONCE = 200  # events: less than half a second, during which nobody else can write
LOOKED_AT = 50  # evaluations of one check and window


@dataclass(frozen=True, slots=True)
class KnownVerdict:
    """The last record of a check for a window: `passed` is None where a run was to evaluate it and has not. `current`
    is False where the window was materialised after it. `run` is "" without a run."""

    passed: bool | None
    current: bool
    run: str


class DagsterRecords:
    """Those of one instance. What it is told is written in batches: `flush` writes what is left, and every question
    does."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._pending: list[tuple[dg.DagsterEvent, str, float | None]] = []
        self._wiped: dict[dg.AssetKey, datetime | None] = {}

    @property
    def instance(self) -> dg.DagsterInstance:
        """With all that it was told."""
        self.flush()
        return self._instance

    def flush(self) -> None:
        pending, self._pending = self._pending, []
        if pending:
            with batched(self._instance):
                for event, run, at in pending:
                    self._instance.report_dagster_event(event, run_id=run, timestamp=at)

    # What it knows

    def points(self, key: dg.AssetKey) -> dict[str, str]:
        """The id of the recovery point by window, of the last materialisation of each."""
        storage = self.instance.event_log_storage
        told = storage.get_latest_tags_by_partition(key, _T.ASSET_MATERIALIZATION, [DATA_VERSION_TAG])
        return {window: tags[DATA_VERSION_TAG] for window, tags in told.items()}

    def newest_reported(self, key: dg.AssetKey) -> str | None:
        """The window that the page of the asset shows, if it was reported without a run."""
        event = self.instance.get_latest_materialization_event(key)
        if event is None or event.run_id != RUNLESS_RUN_ID or event.asset_materialization is None:
            return None
        return event.asset_materialization.partition

    def verdicts(self, checks: Sequence[dg.AssetCheckKey]) -> dict[tuple[str, str | None], KnownVerdict]:
        """By check and window, None for a check without windows."""
        found = self.instance.event_log_storage.get_asset_check_partition_info(checks)
        return {
            (each.check_key.name, each.partition_key): KnownVerdict(
                None if each.latest_execution_status == PLANNED else each.latest_execution_status == PASSED,
                each.latest_check_event_storage_id > (each.latest_materialization_storage_id or 0),
                each.latest_planned_run_id,
            )
            for each in found
        }

    def evaluations(self, check: dg.AssetCheckKey, window: str | None) -> list[AssetCheckExecutionRecord]:
        """The last evaluations of a check for a window, the newest first."""
        only = PartitionKeyFilter(key=window)
        storage = self.instance.event_log_storage
        return list(storage.get_asset_check_execution_history(check, LOOKED_AT, partition_filter=only))

    def is_over(self, run: str) -> bool:
        """Whether nothing more is to be expected of a run."""
        found = self.instance.get_run_by_id(run) if run else None
        return found is None or found.is_finished

    def observed(self, key: dg.AssetKey, windows: Iterable[str], name: str) -> set[str]:
        """The values of a name in the metadata of observations of these windows."""
        chosen = list(windows)
        if not chosen:
            return set()
        found = self.instance.fetch_observations(
            dg.AssetRecordsFilter(asset_key=key, asset_partitions=chosen), limit=10 * len(chosen)
        )
        told = (record.asset_observation for record in found.records)
        return {str(each.metadata[name].value) for each in told if each and name in each.metadata}

    # What it is told

    def materialized(
        self,
        key: dg.AssetKey,
        window: str,
        point: str,
        metadata: Mapping[str, dg.MetadataValue],
        at: datetime,
    ) -> None:
        tags = {DATA_VERSION_TAG: point}
        data = StepMaterializationData(
            dg.AssetMaterialization(key, partition=window, metadata=metadata, tags=tags)
        )
        unknown = key not in self._wiped
        self._report(_T.ASSET_MATERIALIZATION, data, self._visible(key, at))
        if unknown and window not in self.instance.get_materialized_partitions(key):
            self._wiped[key] = datetime.max.replace(tzinfo=UTC)
            self._report(_T.ASSET_MATERIALIZATION, data, self._visible(key, at))

    def evaluated(self, evaluation: dg.AssetCheckEvaluation, at: datetime, run: str = RUNLESS_RUN_ID) -> None:
        """Dagster takes one evaluation of a check and window from each run, and one without a run."""
        self._report(_T.ASSET_CHECK_EVALUATION, evaluation, at, run)

    def observe(self, observation: dg.AssetObservation, at: datetime) -> None:
        when = self._visible(observation.asset_key, at)
        self._report(_T.ASSET_OBSERVATION, AssetObservationData(observation), when)

    def begin_run(self, run: dg.DagsterRun) -> dg.DagsterRun:
        """A run that this process is, as far as Dagster is concerned."""
        return self.instance.add_run(run)

    def end_run(self, run: dg.DagsterRun) -> None:
        event = dg.DagsterEvent(
            _T.RUN_SUCCESS.value, run.job_name, message="Reported what the repository tells."
        )
        self.instance.report_dagster_event(event, run_id=run.run_id)

    def _report(
        self, kind: dg.DagsterEventType, what: object, at: datetime, run: str = RUNLESS_RUN_ID
    ) -> None:
        event = dg.DagsterEvent(
            event_type_value=kind.value,
            event_specific_data=what,  # type: ignore[arg-type]
            job_name=RUNLESS_JOB_NAME,
        )
        self._write(event, run, at.timestamp())

    def _write(self, event: dg.DagsterEvent, run: str, at: float | None) -> None:
        self._pending.append((event, run, at))
        if len(self._pending) >= AT_ONCE:
            self.flush()

    def _visible(self, key: dg.AssetKey, at: datetime) -> datetime:
        """Dagster hides events from before the time when somebody wiped the asset: these get the present time."""
        if key not in self._wiped:
            self._wiped[key] = self._wiped_at(key)
        wiped = self._wiped[key]
        return datetime.now(UTC) if wiped and at <= wiped else at

    def _wiped_at(self, key: dg.AssetKey) -> datetime | None:
        """None also for an asset of which nothing is left: Dagster does not tell when that was wiped."""
        for record in self.instance.get_asset_records([key]):
            details = record.asset_entry.asset_details
            if details and details.last_wipe_timestamp:
                return datetime.fromtimestamp(details.last_wipe_timestamp, UTC)
        return None
