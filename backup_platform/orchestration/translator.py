"""From a plan to the names and specs of Dagster. Subclass it to name, group or tag assets differently."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import dagster as dg

from backup_platform.orchestration.checks import check_spec

if TYPE_CHECKING:
    from backup_platform.app import App
    from backup_platform.plan import SourcePlan

SOURCE_TAG = "backup/source"  # on every run of a source: dagster.yaml limits concurrent runs by it
MAX_RUNTIME_TAG = "dagster/max_runtime"  # seconds; run monitoring ends a run that takes longer
PARTITION_TAG = "dagster/partition"
DRILLS = {
    "window": "Drill: each recovery point is restored into a sandbox and compared.",
    "daily": "Drill: once a day, a recovery point is restored into a sandbox and compared.",
    "weekly": "Drill: once a week, a recovery point is restored into a sandbox and compared.",
    "never": "Drill: never. No recovery point is proven unless someone asks for a drill.",
}


@dataclass(frozen=True)
class BackupTranslator:
    """Answers for one plan. Keys are `<key_prefix>/<source>`; upstream, `<source_prefix>/<kind>/<source>`."""

    app: App
    key_prefix: tuple[str, ...] = ("backups",)
    source_prefix: tuple[str, ...] = ("sources",)
    group: str | None = None  # None: by the kind of the source
    # The UI computes the status of partitioned checks at each load: 2 s for 1,826 windows, 13 s for 8,760.
    max_checked_windows: int = 2_000

    def asset_key(self, source: str) -> dg.AssetKey:
        return dg.AssetKey([*self.key_prefix, source])

    def source_key(self, source: str) -> dg.AssetKey:
        return dg.AssetKey([*self.source_prefix, self._plan(source).kind, source])

    def name(self, what: str) -> str:
        """A name for a job, schedule or sensor: unique among several plans in one project."""
        return what if self.key_prefix == ("backups",) else "_".join([*self.key_prefix, what])

    def partitions(self, source: str) -> dg.TimeWindowPartitionsDefinition:
        """The windows of a source from its first on, the open one included."""
        schedule = self.app.schedule(source)
        return dg.TimeWindowPartitionsDefinition(
            cron_schedule=schedule.cron_schedule,
            start=schedule.first.key,
            fmt=schedule.key_format,
            timezone=schedule.timezone,
            end_offset=1,
        )

    def asset_spec(self, source: str) -> dg.AssetSpec:
        """The asset whose partitions are recovery points."""
        plan = self._plan(source)
        return dg.AssetSpec(
            self.asset_key(source),
            deps=[self.source_key(source)],
            description=self._description(plan),
            group_name=self.group or plan.kind,
            kinds={plan.kind, "backup"},
            owners=list(plan.owners),
            tags=dict(plan.tags),
            metadata={"location": dg.MetadataValue.path(plan.location)},
            partitions_def=self.partitions(source),
        )

    def source_spec(self, source: str) -> dg.AssetSpec:
        """The thing that is protected, as an external asset, so that lineage shows it."""
        plan = self._plan(source)
        return dg.AssetSpec(
            self.source_key(source),
            description=plan.description or f"What `{'/'.join(self.asset_key(source).path)}` protects.",
            group_name=self.group or plan.kind,
            kinds={plan.kind},
            owners=list(plan.owners),
            metadata={"location": dg.MetadataValue.path(plan.location)},
        )

    def check_specs(self, source: str) -> list[dg.AssetCheckSpec]:
        """Partitioned like the asset up to `max_checked_windows`; beyond, their metadata name the window."""
        few = self._window_count(source) <= self.max_checked_windows
        key, partitions = self.asset_key(source), self.partitions(source) if few else None
        return [check_spec(name, key, partitions) for name in self.app.check_names(source)]

    def run_tags(self, source: str) -> dict[str, str]:
        """Tags of every run of a source, however it was launched."""
        seconds = int(self._plan(source).max_runtime.total_seconds())
        return {SOURCE_TAG: source, MAX_RUNTIME_TAG: str(seconds)}

    def _plan(self, source: str) -> SourcePlan:
        return self.app.plan.sources[source]

    def _window_count(self, source: str) -> int:
        """How many windows there are, if all are as long as the current one."""
        now, schedule = self.app.clock.now(), self.app.schedule(source)
        window = schedule.current(now)
        return (now - schedule.first.start) // (window.end - window.start) + 1 if window else 0

    def _description(self, plan: SourcePlan) -> str:
        every = f"every {plan.every}" if plan.every else f"`{plan.cron}`"
        at = f" at {plan.at:%H:%M}" if plan.at else ""
        lines = [
            plan.description,
            f"Recovery points of `{plan.location}`, one per window: {every}{at} ({plan.timezone}).",
            DRILLS[plan.drill],
        ]
        return "\n\n".join(line for line in lines if line)
