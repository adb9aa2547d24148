"""The component that adds the backups of a plan to a Dagster project."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
from pydantic import Field

from backup_platform.errors import PlanError
from backup_platform.orchestration.build import build_definitions
from backup_platform.orchestration.scaffolder import BackupPlanScaffolder
from backup_platform.orchestration.translator import BackupTranslator


@dg.scaffold_with(BackupPlanScaffolder)
class BackupPlan(dg.Component, dg.Resolvable, dg.Model):
    """Backs up the sources of a plan: an asset per source, a partition per window, checks that prove it."""

    plan: str = Field(
        default="backup.yaml",
        description="The plan file, relative to the directory of this file, or else to the project's root.",
    )
    key_prefix: list[str] = Field(
        default=["backups"],
        min_length=1,
        description="The beginning of all asset keys. Each plan of a project needs another one.",
    )
    group: str = Field(default="backups", description="The group of all assets.")
    running: bool = Field(
        default=True, description="Whether schedules and sensors run, until somebody switches them in the UI."
    )

    @classmethod
    def get_spec(cls) -> dg.ComponentTypeSpec:
        return dg.ComponentTypeSpec(
            description="Backups of databases and file trees as assets, proven by checks.",
            tags=["backup"],
            produces=["asset", "asset_check", "job", "schedule", "sensor"],
        )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        from backup_platform.app import App

        app = App.load(str(self._find(context)))
        prefix = tuple(self.key_prefix)
        upstream = ("sources",) if prefix == ("backups",) else (*prefix, "sources")
        translator = BackupTranslator(app, key_prefix=prefix, source_prefix=upstream, group=self.group)
        return build_definitions(translator, running=self.running)

    def _find(self, context: dg.ComponentLoadContext) -> Path:
        tried = [directory / self.plan for directory in (context.path, context.project_root)]
        for candidate in tried:
            if candidate.is_file():
                return candidate
        raise PlanError(
            f"no plan {self.plan!r} for the component in {context.path}",
            hint=f"Write it at {tried[0]} or {tried[1]}, or correct its path in defs.yaml.",
        )
