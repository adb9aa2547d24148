"""From a plan to names and specs in Dagster. Make a subclass to name, group or tag assets differently."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import time, timedelta
from typing import TYPE_CHECKING, Literal, TypeAlias

import dagster as dg

from backup_platform.actions.checks.table import COPIES_IN_PLACE, OF_COPIES, OF_PLAN, OF_PRUNE, OF_READING
from backup_platform.advice import Hint, command, written
from backup_platform.domain.windows.cadence import CADENCES
from backup_platform.errors import BackupError, WindowError, sentences
from backup_platform.orchestration.assets.checks import check_spec

if TYPE_CHECKING:
    from backup_platform.app import App
    from backup_platform.domain.checks import Check
    from backup_platform.plan import SourceConfig

SOURCE_TAG = "backup/source"  # on every run of a source: dagster.yaml limits concurrent runs by it
COPY_TAG = "backup/copy"  # on every run of a copy: <repository>/<source>
UPKEEP_TAG = "backup/upkeep"  # on every run that prunes or reads a repository: <repository>/<work>
MAX_RUNTIME_TAG = "dagster/max_runtime"  # seconds; run monitoring ends a run that takes longer
PARTITION_TAG = "dagster/partition"
RUN_KEY_TAG = "dagster/run_key"
MISSED_TAG = "backup/missed"  # on the run that stands for a missed window
COVERAGE_TAG = "backup/coverage"  # on every run that looks for what is in no source
LONGEST_UPKEEP = timedelta(days=1)
LONGEST_LOOK = timedelta(hours=1)
COVERAGE_AT = time(6)
Work: TypeAlias = Literal["prune", "verify"]
WORKS: dict[Work, str] = {
    "prune": "Forgets recovery points that the plan does not keep, and frees the space that no point needs. ",
    "verify": "Reads a part of the repository again, so that every stored byte is read within its cycle. ",
}
DRILLS = {
    "window": "Drill: each recovery point is restored into a sandbox and compared.",
    "daily": "Drill: once a day, a recovery point is restored into a sandbox and compared.",
    "weekly": "Drill: once a week, a recovery point is restored into a sandbox and compared.",
    "never": "Drill: never. No recovery point is proven unless somebody runs a drill.",
}


@dataclass(frozen=True)
class BackupTranslator:
    """Answers for one plan. Keys are `<key_prefix>/<source>`; upstream, `<source_prefix>/<kind>/<source>`; downstream,
    `copies/<repository>/<source>`; `repositories/<repository>/<work>`; and `plan/coverage`. Other key prefixes begin
    these three, too."""

    app: App
    key_prefix: tuple[str, ...] = ("backups",)
    source_prefix: tuple[str, ...] = ("sources",)
    group: str = "backups"
    # The UI computes the status of partitioned checks at each load: 2 s for 1,826 windows, 13 s for 8,760.
    max_checked_windows: int = 2_000

    def asset_key(self, source: str) -> dg.AssetKey:
        return dg.AssetKey([*self.key_prefix, source])

    def source_key(self, source: str) -> dg.AssetKey:
        return dg.AssetKey([*self.source_prefix, self._plan(source).kind, source])

    def copy_key(self, repository: str, source: str) -> dg.AssetKey:
        return dg.AssetKey([*self._beside("copies"), repository, source])

    def upkeep_key(self, repository: str, work: Work) -> dg.AssetKey:
        return dg.AssetKey([*self._beside("repositories"), repository, work])

    def coverage_key(self) -> dg.AssetKey:
        return dg.AssetKey([*self._beside("plan"), "coverage"])

    def name(self, what: str) -> str:
        """A name for a job, schedule or sensor: unique among several plans in one project, and unlike its own."""
        if self._is_usual:
            return f"backup_{what.removeprefix('backup_')}"
        return "_".join([*self.key_prefix, what])

    def written(self, hint: Hint, about: str = "") -> str:
        """Advice as text, with commands for this plan and the repository that it is `about`; "" for the first."""
        first = next(iter(self.app.plan.repositories))
        return written(hint, self.app.plan_path, None if about in ("", first) else about)

    def told(self, error: BackupError) -> str:
        """An error as a text, with its advice."""
        return sentences(error.message, self.written(error.advice, error.repository))

    @property
    def _is_usual(self) -> bool:
        return self.key_prefix == ("backups",)

    def _beside(self, what: str) -> tuple[str, ...]:
        """What keys start with that are of this plan and of no source's backup."""
        return (what,) if self._is_usual else (*self.key_prefix, what)

    def partitions(self, source: str) -> dg.TimeWindowPartitionsDefinition:
        """The windows of a source from its first on, the open one included."""
        schedule = self.app.windows.schedule(source)
        return dg.TimeWindowPartitionsDefinition(
            cron_schedule=schedule.cron_schedule,
            start=schedule.first.key,
            fmt=schedule.key_format,
            timezone=schedule.timezone,
            end_offset=1,
        )

    def has_window(self, source: str, key: str) -> bool:
        """Whether the asset has this window now. Points of an earlier schedule have windows that it does not have."""
        try:
            self.app.windows.schedule(source).window(key)
        except WindowError:
            return False
        return self.partitions(source).has_partition_key(key)

    def asset_spec(self, source: str) -> dg.AssetSpec:
        """The asset whose partitions are recovery points."""
        plan = self._plan(source)
        return dg.AssetSpec(
            self.asset_key(source),
            deps=[self.source_key(source)],
            description=f"{self._description(plan)}\n\n{self._restoring(plan, source)}",
            group_name=self.group,
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
            description=plan.description
            or f"The data that `{'/'.join(self.asset_key(source).path)}` backs up.",
            group_name=self.group,
            kinds={plan.kind},
            owners=list(plan.owners),
            metadata={"location": dg.MetadataValue.path(plan.location)},
        )

    def copy_spec(self, repository: str, source: str) -> dg.AssetSpec:
        """The asset whose partitions are the same recovery points in another repository."""
        plan = self._plan(source)
        return dg.AssetSpec(
            self.copy_key(repository, source),
            deps=[self.asset_key(source)],
            description=f"Copies of `{'/'.join(self.asset_key(source).path)}` in the repository {repository}.\n\n"
            + self._restoring(plan, source, repository),
            group_name=self.group,
            kinds={plan.kind, "copy"},
            owners=list(plan.owners),
            tags=dict(plan.tags),
            metadata={"location": self._location(repository)},
            partitions_def=self.partitions(source),
        )

    def upkeep_spec(self, repository: str, work: Work) -> dg.AssetSpec:
        """The asset for pruning or reading a repository. It has no partitions."""
        return dg.AssetSpec(
            self.upkeep_key(repository, work),
            description=WORKS[work] + self._timing(repository, work),
            group_name=self.group,
            kinds={work},
            metadata={"location": self._location(repository)},
        )

    def coverage_spec(self) -> dg.AssetSpec:
        """The asset for looking what is in no source. It has no partitions."""
        places = ", ".join(f"`{name}`" for name in self.app.plan.coverage)
        return dg.AssetSpec(
            self.coverage_key(),
            description=f"Looks for what is in no source of the plan, in the places {places}. "
            f"Daily at {COVERAGE_AT:%H:%M} (UTC).",
            group_name=self.group,
            kinds={"coverage"},
        )

    def coverage_check_specs(self) -> list[dg.AssetCheckSpec]:
        return [self._check_spec(row.check, self.coverage_key(), None) for row in OF_PLAN]

    def check_specs(self, source: str) -> list[dg.AssetCheckSpec]:
        """Partitioned like the asset up to `max_checked_windows`; beyond, their metadata name the window."""
        key, partitions = self.asset_key(source), self._check_partitions(source)
        return [self._check_spec(check, key, partitions) for check in self.app.proofs.checks_of(source)]

    def copies_check_spec(self, source: str) -> dg.AssetCheckSpec:
        """The check of a source that has copies: it is made in the runs of the copies."""
        copies = [self.copy_key(name, source) for name in self.app.plan.copies_of(source)]
        partitions = self._check_partitions(source)
        return self._check_spec(COPIES_IN_PLACE, self.asset_key(source), partitions, copies)

    def copy_check_specs(self, repository: str, source: str) -> list[dg.AssetCheckSpec]:
        key, partitions = self.copy_key(repository, source), self._check_partitions(source)
        return [self._check_spec(row.check, key, partitions, about=repository) for row in OF_COPIES]

    def upkeep_check_specs(self, repository: str, work: Work) -> list[dg.AssetCheckSpec]:
        key, rows = self.upkeep_key(repository, work), OF_PRUNE if work == "prune" else OF_READING
        return [self._check_spec(row.check, key, None, about=repository) for row in rows]

    def _check_spec(
        self,
        check: Check,
        key: dg.AssetKey,
        partitions: dg.TimeWindowPartitionsDefinition | None,
        after: Sequence[dg.AssetKey] = (),
        about: str = "",
    ) -> dg.AssetCheckSpec:
        return check_spec(check, key, partitions, self.written(check.remedy, about), after)

    def repositories_with(self, work: Work) -> list[str]:
        """The repositories that the plan wants pruned or read again."""
        return [name for name, plan in self.app.plan.repositories.items() if getattr(plan, work)]

    def upkeep_cron(self, repository: str, work: Work) -> str:
        """When the plan wants it done, in UTC."""
        plan = self.app.plan.repositories[repository]
        if work == "prune" and plan.prune:
            return CADENCES[plan.prune.every].tick_cron(plan.prune.at)
        if work == "verify" and plan.verify:
            return CADENCES["day"].tick_cron(plan.verify.at)
        raise ValueError(f"the plan has no {work} of {repository}")

    def run_tags(self, source: str) -> dict[str, str]:
        """Tags of every run of a source, however it was launched."""
        return {SOURCE_TAG: source, MAX_RUNTIME_TAG: _seconds(self._plan(source).max_runtime)}

    def copy_tags(self, repository: str, source: str) -> dict[str, str]:
        """Not those of the source: a copy that takes long must not keep its next backup waiting."""
        longest = _seconds(self._plan(source).max_runtime)
        return {COPY_TAG: f"{repository}/{source}", MAX_RUNTIME_TAG: longest}

    def upkeep_tags(self, repository: str, work: Work) -> dict[str, str]:
        return {UPKEEP_TAG: f"{repository}/{work}", MAX_RUNTIME_TAG: _seconds(LONGEST_UPKEEP)}

    def coverage_tags(self) -> dict[str, str]:
        return {COVERAGE_TAG: "plan", MAX_RUNTIME_TAG: _seconds(LONGEST_LOOK)}

    def _plan(self, source: str) -> SourceConfig:
        return self.app.plan.sources[source]

    def _location(self, repository: str) -> dg.MetadataValue:
        return dg.MetadataValue.path(self.app.plan.repositories[repository].path)

    def _timing(self, repository: str, work: Work) -> str:
        plan = self.app.plan.repositories[repository]
        if work == "prune" and plan.prune:
            return f"Every {plan.prune.every} at {plan.prune.at:%H:%M} (UTC)."
        return f"Daily at {plan.verify.at:%H:%M} (UTC)." if plan.verify else ""

    def checks_have_windows(self, source: str) -> bool:
        return self._check_partitions(source) is not None

    def _check_partitions(self, source: str) -> dg.TimeWindowPartitionsDefinition | None:
        few = self._window_count(source) <= self.max_checked_windows
        return self.partitions(source) if few else None

    def _window_count(self, source: str) -> int:
        """How many windows there are, if all are as long as the current one."""
        now, schedule = self.app.clock.now(), self.app.windows.schedule(source)
        window = schedule.current(now)
        return (now - schedule.first.start) // (window.end - window.start) + 1 if window else 0

    def _description(self, plan: SourceConfig) -> str:
        every = f"every {plan.every}" if plan.every else f"`{plan.cron}`"
        at = f" at {plan.at:%H:%M}" if plan.at else ""
        lines = [
            plan.description,
            f"Recovery points of `{plan.location}`, one per window: {every}{at} ({plan.timezone}).",
            DRILLS[plan.drill],
        ]
        return "\n\n".join(line for line in lines if line)

    def _restoring(self, plan: SourceConfig, source: str, repository: str = "") -> str:
        """How the newest point is restored: the command is needed when nobody finds the documentation."""
        target = ("--into", "URL") if plan.source_kind.server else ("--to", "DIRECTORY")
        return self.written(
            (
                "Restore the newest recovery point: ",
                command("restore", f"{source}@latest", *target),
                ". Any other one: ",
                command("points", source),
                " lists them.",
            ),
            repository,
        )


def _seconds(span: timedelta) -> str:
    return str(int(span.total_seconds()))
