"""What Dagster loads: `dagster dev -m backup_platform.definitions`, or a workspace.yaml that names this module.

The plan is `$BACKUP_PLATFORM_PLAN`, else `./backup.yaml`. If the plan is missing or wrong, the code location fails to
load. It is never loaded empty, because then nobody would notice that nothing is backed up.
"""

from __future__ import annotations

import dagster as dg

from backup_platform.app import App
from backup_platform.errors import PlanError
from backup_platform.orchestration.build import build_definitions
from backup_platform.orchestration.translator import BackupTranslator

try:
    app = App.load()
    defs = dg.Definitions.merge(
        build_definitions(BackupTranslator(app)),
        dg.Definitions(executor=dg.in_process_executor),  # for runs that are launched from an asset's page
    )
except PlanError as error:
    # Dagster shows the traceback below the message: where the plan was read helps nobody to correct it.
    raise error.with_traceback(None) from None
