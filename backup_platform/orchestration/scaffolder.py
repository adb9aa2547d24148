"""`dg scaffold defs backup_platform.BackupPlan NAME` writes a plan that works as it is."""

from __future__ import annotations

import json
import os

import dagster as dg

from backup_platform.plan.schema import FILE, LINE, json_schema

PLAN = """\
{line}
# What to protect, how often, and how long to keep it. Paths are relative to this file.
# Create the repository once:  backup-platform --plan {plan} init
repository:
  path: {repository}

sources:
  # An example that works at once: replace it with what you want to protect.
  example:
    files: example
    every: day
    at: "02:15"
    timezone: UTC
    keep: {{daily: 7, weekly: 4, monthly: 12}}

# Where alerts go, as apprise URLs; secrets by reference: slack://${{env:SLACK_TOKEN}}
alerts: []
"""

EXAMPLE = "The example source of backup.yaml backs up this directory.\n"


class BackupPlanScaffolder(dg.Scaffolder):
    def scaffold(self, request: dg.ScaffoldRequest) -> None:
        """Write defs.yaml, a plan with its schema for editors, and something for the plan to protect. What exists is
        left alone."""
        dg.scaffold_component(request, {"plan": "backup.yaml"})
        directory = request.target_path
        root = request.project_root or directory
        # Outside of the definitions, because dg walks through all that is below them.
        repository = os.path.relpath(root / "backups", directory)
        plan = os.path.relpath(directory / "backup.yaml", root)
        (directory / "example").mkdir(parents=True, exist_ok=True)
        for path, text in (
            (directory / "backup.yaml", PLAN.format(line=LINE, repository=repository, plan=plan)),
            (directory / FILE, json.dumps(json_schema(), indent=2) + "\n"),
            (directory / "example" / "README.txt", EXAMPLE),
        ):
            if not path.exists():
                path.write_text(text, encoding="utf-8")
