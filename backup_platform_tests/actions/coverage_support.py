"""What a plan does not protect, looked at as the command line does."""

from __future__ import annotations

from pathlib import Path

from backup_platform.domain.coverage import Coverage
from backup_platform.domain.ports import Clock
from backup_platform.wiring import make_survey, read_plan
from backup_platform_tests.support import ManualClock

HEAD = "repository: {path: repository}\n"


def look(directory: Path, plan: str, clock: Clock | None = None) -> Coverage:
    """Of a plan in the directory; a repository of it needs not be there."""
    path = directory / "backup.yaml"
    text = plan if "repository:" in plan else HEAD + plan
    path.write_text(f"{text}state: state\n")
    return make_survey(*read_plan(str(path)), clock or ManualClock()).run()
