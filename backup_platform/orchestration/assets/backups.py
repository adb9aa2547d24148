"""One asset per source: a partition is the recovery point of a window, and its checks prove it.

Annotations stay evaluated here: Dagster reads the config class from one, and cannot read it from a string.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg

from backup_platform.actions.checks.table import COPIES_IN_PLACE, DRILL
from backup_platform.domain.model import RecoveryPoint
from backup_platform.errors import BackupError
from backup_platform.orchestration.assets.checks import evaluation, not_judged, point_to_check
from backup_platform.orchestration.assets.graph import with_role
from backup_platform.orchestration.failures import dagster_errors
from backup_platform.orchestration.metadata.points import Metadata, point_metadata
from backup_platform.orchestration.metadata.tables import tables_metadata
from backup_platform.orchestration.progress import LogProgress
from backup_platform.orchestration.shown import log_of
from backup_platform.orchestration.translator import BackupTranslator
from backup_platform.repository.records.proofs import recorded

if TYPE_CHECKING:
    from backup_platform.actions.backup.run import BackupResult
    from backup_platform.domain.checks import CheckResult

Verdicts = Iterator[dg.AssetCheckResult | dg.AssetCheckEvaluation]
Results = Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult | dg.AssetCheckEvaluation]


class BackupOptions(dg.Config):
    """What may be set in the launchpad."""

    force: bool = False  # capture anew even though the window has a recovery point


def backup_asset(translator: BackupTranslator, source: str) -> dg.AssetsDefinition:
    """Materialising a window backs it up and then checks it. Windows that are over fail, with the reason.

    It can be subset for two reasons: checks can be run again alone from the UI, and a check that is not due may stay
    without an evaluation. In a step that cannot be subset, Dagster requires an evaluation of every check.
    """

    @dg.multi_asset(
        name=translator.asset_key(source).to_python_identifier(),
        specs=[with_role(translator.asset_spec(source), "backup")],
        check_specs=translator.check_specs(source),
        can_subset=True,
    )
    def backup(context: dg.AssetExecutionContext, config: BackupOptions) -> Results:
        tag_run(context, translator.run_tags(source))
        step = _BackupStep(context, translator, source)
        with dagster_errors(
            context.retry_number, translator.app.plan.sources[source].retries, translator.written
        ):
            yield from step.run(force=config.force)

    return backup


class _BackupStep:
    """One execution for one source and window."""

    def __init__(self, context: dg.AssetExecutionContext, translator: BackupTranslator, source: str) -> None:
        self._context = context
        self._translator = translator
        self._app = translator.app
        self._source = source
        self._retries = translator.app.plan.sources[source].retries
        self._key = translator.asset_key(source)
        self._progress = LogProgress(log_of(context), translator.app.clock)

    def run(self, *, force: bool) -> Results:
        capture = self._key in self._context.selected_asset_keys
        if capture:
            try:
                result = self._app.backups.run(
                    self._source, window=self._context.partition_key, force=force, progress=self._progress
                )
            except BackupError as error:
                if not error.retryable or self._context.retry_number >= self._retries:
                    yield from not_judged(self._context, self._translator.told(error), self._key)
                raise
            point = result.point
            yield self._materialized(result)
        else:
            point = point_to_check(self._context, self._app.points, self._source)
        yield from self._checked(point, asked_for=not capture)

    def _materialized(self, result: "BackupResult") -> dg.MaterializeResult[None]:
        point, again = result.point, result.stored_again
        told = point_metadata(point, created=result.created, manifest=self._app.points.manifest_path(point))
        told |= {"stored_again_bytes": dg.MetadataValue.int(again)} if again else {}
        return dg.MaterializeResult(
            asset_key=self._key,
            metadata={**told, **self._tables(point)},
            data_version=dg.DataVersion(point.id),
        )

    def _tables(self, point: RecoveryPoint) -> Metadata:
        tables = self._app.tables.of_point(point)
        return {} if tables is None else tables_metadata(list(tables.sizes()))

    def _checked(self, point: RecoveryPoint, *, asked_for: bool) -> Verdicts:
        """The evaluations of the selected checks. A drill that a person asked for is always due."""
        selected = {key.name for key in self._context.selected_asset_check_keys}
        for found in self._app.proofs.checks(point, progress=self._progress):
            check = found
            if check.name not in selected:
                continue
            if not check.ran and asked_for and check.name == DRILL.name:
                check = self._drilled(point)
            if check.ran:
                yield evaluation(self._context, check, self._key, point, self._translator.written)
            else:
                log_of(self._context).info("check %s did not run: %s", check.name, check.summary)

    def _drilled(self, point: RecoveryPoint) -> "CheckResult":
        from backup_platform.actions.checks.points import (
            drilled,  # numpy, which loading definitions does not need
        )

        return drilled(recorded(self._app.proofs.drill(point.id, progress=self._progress)))


def tag_run(context: dg.AssetExecutionContext, tags: dict[str, str]) -> None:
    """Give a run that was launched by hand the tags that the schedule gives. They limit its time and its concurrency,
    and help to find it in the list of runs. A run of several assets gets none, because a tag has only one value."""
    run = context.run
    alone = len([node for node in context.job_def.nodes if not node.name.endswith(COPIES_IN_PLACE.name)]) == 1
    if alone and not tags.keys() <= run.tags.keys():
        context.instance.add_run_tags(run.run_id, {k: v for k, v in tags.items() if k not in run.tags})
