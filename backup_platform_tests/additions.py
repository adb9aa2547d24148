"""Additions to the program, as edits of its files: one for each row of "Where to put something new".

Each edit inserts its text after a text that is in the file once. An edit of a new file has nothing to come after.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Edit:
    """`file` is below the package."""

    file: str
    after: str
    text: str

    def apply(self, package: Path) -> None:
        path = package / self.file
        if not self.after:
            assert not path.exists(), path
            path.parent.mkdir(exist_ok=True)
            path.write_text(self.text)
            return
        before = path.read_text()
        assert before.count(self.after) == 1, (self.file, self.after, before.count(self.after))
        path.write_text(before.replace(self.after, self.after + self.text))


VERB = (
    Edit("actions/age/__init__.py", "", '"""How old points are."""\n'),
    Edit(
        "actions/age/run.py",
        "",
        """from datetime import datetime


def age(captured_at: datetime, now: datetime) -> float:
    return (now - captured_at).total_seconds()
""",
    ),
    Edit(
        "services/points.py",
        "    sources: PlannedSources\n",
        '''
    def age(self, spec: str) -> float:
        """How many seconds old a point is. Raises NotFoundError."""
        from backup_platform.actions.age.run import age

        return age(self.find(spec).captured_at, self.bound.clock.now())
''',
    ),
    Edit(
        "services/protocols.py",
        "class PointService(Protocol):\n",
        "    def age(self, spec: str) -> float: ...\n\n",
    ),
    Edit(
        "cli/recover/age.py",
        "",
        '''from typing import Annotated

import typer

from backup_platform.cli.context import session_of


def age(ctx: typer.Context, point: Annotated[str, typer.Argument(metavar="POINT", help="Which.")]) -> int:
    """Show how old a recovery point is."""
    session = session_of(ctx)
    session.out.document({"age_s": session.app.points.age(point)})
    return 0
''',
    ),
    Edit("cli/verbs.py", "VERBS = {\n", '    "age": ("recover.age", "age"),\n'),
    Edit("cli/verbs.py", '    "Restore and look": (', '"age", '),
)
CHECK = (
    Edit(
        "actions/checks/named.py",
        "",
        """from backup_platform.actions.checks.table import NAMED
from backup_platform.domain.checks import CheckResult
from backup_platform.domain.model import RecoveryPoint


def named(point: RecoveryPoint) -> CheckResult:
    return NAMED.result(True, f"the source is {point.source}")
""",
    ),
    Edit(
        "actions/checks/table.py",
        "# Of a source's new point, in the order in which they run. Those of its kind come before the drill.\n",
        """
NAMED = Check("named", "warn", "The source has a name.")


def _named(given: PointToJudge) -> CheckResult:
    from backup_platform.actions.checks.named import named

    return named(given.point)


""",
    ),
    Edit("actions/checks/table.py", "    CheckRow(COMPLETE, _complete),\n", "    CheckRow(NAMED, _named),\n"),
)
RETENTION_RULE = (
    Edit("domain/keep/retention.py", "    yearly: int = 0\n", "    quarterly: int = 0\n"),
    Edit(
        "domain/keep/retention.py",
        '    ("yearly", "year", lambda at: at.year),\n',
        '    ("quarterly", "quarter", lambda at: (at.year, (at.month - 1) // 3)),\n',
    ),
    Edit("plan/repository.py", "    yearly: Count = 0\n", "    quarterly: Count = 0\n"),
)
STORE = (
    Edit(
        "stores/plain.py",
        "",
        """from urllib.parse import urlsplit

from backup_platform.stores.object_store import DirectoryStore


class PlainStore(DirectoryStore):
    def __init__(self, url: str) -> None:
        super().__init__(urlsplit(url).path)
""",
    ),
    Edit(
        "stores/opening.py",
        "from backup_platform.stores.options import StoreOptions\n",
        "from backup_platform.stores.plain import PlainStore\n",
    ),
    Edit(
        "stores/opening.py",
        "    opened = ",
        'OpenedStore(PlainStore(location)) if location.startswith("plain://") else ',
    ),
)
NUMBER = (
    Edit(
        "orchestration/metadata/points.py",
        '        "problems": dg.MetadataValue.int(point.problem_count),\n',
        '        "sequence": dg.MetadataValue.int(point.sequence),\n',
    ),
)
METRIC = (
    Edit(
        "cli/watch/series.py",
        "SOURCES: tuple[Gauge[SourceStatus], ...] = (\n",
        '    ("drills", "Drills that passed.", lambda s: len(s.drills)),\n',
    ),
)
MESSAGE = (
    Edit(
        "errors.py",
        'class PlanError(BackupError):\n    code = "plan-invalid"\n    exit_code = 2\n',
        '\n\nclass EmptyReasonError(BackupError):\n    code = "reason-empty"\n    exit_code = 2\n',
    ),
    Edit(
        "actions/points/accept.py",
        "from backup_platform.errors import UsageError\n",
        "from backup_platform.advice import command\nfrom backup_platform.errors import EmptyReasonError\n",
    ),
    Edit(
        "actions/points/accept.py",
        "    def accept(self, spec: str, reason: str) -> RecoveryPoint:\n",
        """        if reason == "because":
            hint = (command("show", spec), " shows what it lacks.")
            raise EmptyReasonError("The reason says nothing.", subject=spec, hint=hint)
""",
    ),
)
ADDITIONS = {
    "verb": VERB,
    "check": CHECK,
    "retention rule": RETENTION_RULE,
    "alert channel": (),
    "store": STORE,
    "number": NUMBER,
    "metric": METRIC,
    "message": MESSAGE,
}
