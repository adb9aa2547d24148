"""`doctor`: whether everything that backups need is in order."""

from __future__ import annotations

import typer

from backup_platform.cli.context import session_of
from backup_platform.domain.model import Json


def doctor(ctx: typer.Context) -> int:
    """Check everything that backups need: the plan, its secrets, the repositories, the sources and the alerts.

    The exit code is 1 when something has to be repaired.

    \b
    Example:
      backup-platform doctor
    """
    session = session_of(ctx)
    findings, out = session.app.setup.doctor(), session.out
    listed: list[Json] = [
        {
            "name": each.name,
            "ok": each.ok,
            "detail": each.detail,
            "hint": session.written(each.advice, each.repository),
        }
        for each in findings
    ]
    passed = all(each.ok for each in findings)
    out.document({"passed": passed, "findings": listed})
    for each in findings:
        mark = out.paint("ok  ", "good") if each.ok else out.paint("FAIL", "bad")
        out.line(f"{mark}  {each.name}: {each.detail}")
        if each.advice and not each.ok:
            out.line(f"      {session.written(each.advice, each.repository)}")
    out.line("Times are in UTC, and the windows of a source in its own zone.")
    return 0 if passed else 1
