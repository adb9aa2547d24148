"""Everything that Dagster shows of one plan."""

from __future__ import annotations

import dagster as dg

from backup_platform.orchestration import subjects
from backup_platform.orchestration.assets.backups import backup_asset
from backup_platform.orchestration.assets.copies import copy_asset, in_place_check
from backup_platform.orchestration.assets.coverage import coverage_asset
from backup_platform.orchestration.assets.graph import with_role
from backup_platform.orchestration.assets.repositories import upkeep_asset
from backup_platform.orchestration.automation import automation
from backup_platform.orchestration.translator import BackupTranslator


def build_definitions(translator: BackupTranslator, *, running: bool = True) -> dg.Definitions:
    """Assets, checks, jobs, schedules and sensors of a plan. Raises `PlanError`; reads no repository."""
    plan = translator.app.plan
    backups = [backup_asset(translator, source) for source in plan.sources]
    upstream = [with_role(translator.source_spec(source), "source") for source in plan.sources]
    copied = [source for source in plan.sources if plan.copies_of(source)]
    copies = [copy_asset(translator, name, source) for source in copied for name in plan.copies_of(source)]
    upkeep = [upkeep_asset(translator, subject) for subject in subjects.upkeep(translator)]
    coverage = [coverage_asset(translator, subject) for subject in subjects.coverage(translator)]
    assets = dg.Definitions(
        assets=[*backups, *upstream, *copies, *upkeep, *coverage],
        asset_checks=[in_place_check(translator, source) for source in copied],
    )
    return dg.Definitions.merge(assets, automation(translator, running=running))
