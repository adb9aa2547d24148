"""What is in no source, as an asset: materialising it looks where the plan says, and its check is red for a finding.

Annotations stay evaluated here: Dagster reads the type of `context` from one.
"""

import dagster as dg

from backup_platform.actions.checks.table import OF_PLAN, judged
from backup_platform.orchestration.assets.checks import upkeep_evaluation
from backup_platform.orchestration.assets.graph import specs_of, surroundings, with_role
from backup_platform.orchestration.failures import dagster_errors
from backup_platform.orchestration.metadata.coverage import coverage_metadata
from backup_platform.orchestration.subjects import WatchedAsset
from backup_platform.orchestration.translator import BackupTranslator

RETRIES = 0  # a place that cannot be looked at is a finding, not a failure


def coverage_asset(translator: BackupTranslator, subject: WatchedAsset) -> dg.AssetsDefinition:
    """It reads names, and no contents."""

    @dg.multi_asset(
        name=subject.step,
        specs=[with_role(translator.coverage_spec(), "coverage")],
        check_specs=translator.coverage_check_specs(),
    )
    def coverage(context: dg.AssetExecutionContext):  # type: ignore[no-untyped-def]
        with dagster_errors(context.retry_number, RETRIES, translator.written):
            found = translator.app.setup.coverage(lambda: surroundings(specs_of(context)))
        yield dg.MaterializeResult(asset_key=subject.key, metadata=coverage_metadata(found))
        for verdict in judged(OF_PLAN, found):
            yield upkeep_evaluation(verdict, subject.key, translator.written)

    return coverage
