"""Everything that Dagster shows of one plan."""

from __future__ import annotations

import dagster as dg

from backup_platform.orchestration import subjects
from backup_platform.orchestration.assets import backup_asset
from backup_platform.orchestration.automation import automation
from backup_platform.orchestration.repositories import upkeep_asset
from backup_platform.orchestration.translator import BackupTranslator


def build_definitions(translator: BackupTranslator, *, running: bool = True) -> dg.Definitions:
    """Assets, checks, jobs, schedules and sensors of a plan. Raises `PlanError`; reads no repository."""
    plan = translator.app.plan
    backups = [backup_asset(translator, source) for source in plan.sources]
    upstream = [translator.source_spec(source) for source in plan.sources]
    upkeep = [upkeep_asset(translator, subject) for subject in subjects.upkeep(translator)]
    assets = dg.Definitions(
        assets=[*backups, *upstream, *upkeep],
    )
    return dg.Definitions.merge(assets, automation(translator, running=running))
