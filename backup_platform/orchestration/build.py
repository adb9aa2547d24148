"""Everything that Dagster shows of one plan."""

from __future__ import annotations

import dagster as dg

from backup_platform.orchestration.assets import backup_asset
from backup_platform.orchestration.automation import automation
from backup_platform.orchestration.translator import BackupTranslator


def build_definitions(translator: BackupTranslator, *, running: bool = True) -> dg.Definitions:
    """Assets, checks, jobs, schedules and sensors of a plan. Raises `PlanError`; reads no repository."""
    sources = list(translator.app.plan.sources)
    assets = [backup_asset(translator, source) for source in sources]
    upstream = [translator.source_spec(source) for source in sources]
    return dg.Definitions.merge(
        dg.Definitions(assets=[*assets, *upstream]), automation(translator, running=running)
    )
