"""The options of verbs that delete: on a terminal, without --yes, such a verb only shows what it would do."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from backup_platform.cli.context import CliSession
from backup_platform.errors import UsageError

DRY_RUN = Annotated[
    bool, typer.Option("--dry-run", help="Only show what would be done. This is the default on a terminal.")
]
YES = Annotated[
    bool, typer.Option("--yes", help="Do it. This is the default without a terminal, for example in cron.")
]


def consented(session: CliSession, *, dry_run: bool, yes: bool) -> bool:
    """Whether to delete. Raises UsageError for a contradiction."""
    if dry_run and yes:
        raise UsageError("--dry-run and --yes are opposites.", hint="Give one of them.")
    return yes or not (dry_run or session.out.terminal or sys.stdin.isatty())
