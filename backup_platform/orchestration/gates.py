"""Assets that let others wait for a backup: a migration for a fresh one, a report for data that is proven.

Annotations stay evaluated here: Dagster reads the type of `context` from one.
"""

from collections.abc import Sequence

import dagster as dg

from backup_platform.actions.points.fresh import Freshness
from backup_platform.advice import command, written
from backup_platform.app import App
from backup_platform.domain.model import RecoveryPoint
from backup_platform.domain.visible import inert
from backup_platform.errors import sentences
from backup_platform.orchestration import shown
from backup_platform.orchestration.failures import dagster_errors
from backup_platform.orchestration.progress import LogProgress
from backup_platform.orchestration.shown import log_of
from backup_platform.plan.values import parse_duration

RETRIES = 3


def build_backup_gate(
    source: str,
    *,
    within: str = "24h",
    proven: bool = True,
    capture: bool = False,
    key: Sequence[str] | None = None,
    backup: Sequence[str] | None = None,
    plan: str | None = None,
) -> dg.AssetsDefinition:
    """An asset that materialises only if the source has a point that is at most `within` old, and `proven` by a drill.
    What has it in its `deps` then runs, else not. With `capture` it backs the source up and drills first, if needed.

    The repository is asked, so that points of the command line count. Its key is `backup_gates/<source>` unless `key`
    says otherwise; `backup` is the key of the source's backups, if it is not `backups/<source>`. `plan` is the plan's
    path, else $BACKUP_PLATFORM_PLAN, else ./backup.yaml. Raises ValueError for a `within` that is no time.
    """
    wanted = Freshness(source, parse_duration(within), proven)

    @dg.asset(
        key=list(key or ("backup_gates", source)),
        deps=[dg.AssetDep(list(backup or ("backups", source)), partition_mapping=dg.LastPartitionMapping())],
        group_name="backups",
        kinds={"backup"},
        description=f"Passes if there is {wanted}.",
    )
    def gate(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        with dagster_errors(context.retry_number, RETRIES):
            return _passed(_Gate(App.load(plan), wanted, context).point(capture=capture))

    return gate


class _Gate:
    """One execution."""

    def __init__(self, app: App, wanted: Freshness, context: dg.AssetExecutionContext) -> None:
        self._app = app
        self._wanted = wanted
        self._progress = LogProgress(log_of(context), app.clock)

    def point(self, *, capture: bool) -> RecoveryPoint:
        """The point that lets the others run. Raises Failure."""
        found = self._newest()
        if capture and not self._wanted.is_met_by(found, self._app.clock.now()):
            self._capture()
            found = self._newest()
        if found is None or not self._wanted.is_met_by(found, self._app.clock.now()):
            raise self._failure(found)
        return found

    def _newest(self) -> RecoveryPoint | None:
        proofs, _ = self._app.proofs.evidence.proofs()
        return self._wanted.newest(self._app.points.all(self._wanted.source), proofs)

    def _capture(self) -> None:
        point = self._app.backups.run(self._wanted.source, force=True, progress=self._progress).point
        if self._wanted.proven:
            self._app.proofs.drill(point.id, progress=self._progress)

    def _failure(self, found: RecoveryPoint | None) -> dg.Failure:
        source = self._wanted.source
        drill = (", then ", command("drill", f"{source}@latest")) if self._wanted.proven else ()
        advice = written(("Run ", command("backup", source), *drill, "."), self._app.plan_path)
        text = self._wanted.unmet(found, self._app.clock.now())
        return dg.Failure(inert(sentences(text, advice)), allow_retries=False)


def _passed(point: RecoveryPoint) -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(
        metadata={
            "recovery_point": shown.text(point.id),
            "window": shown.text(point.window.key),
            "captured_at": dg.MetadataValue.timestamp(point.captured_at),
        },
        data_version=dg.DataVersion(point.id),
    )
