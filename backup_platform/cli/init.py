"""`init`: make the plan's repository."""

from __future__ import annotations

import typer

from backup_platform.cli import shapes
from backup_platform.cli.context import session_of


def init(ctx: typer.Context) -> int:
    """Make the plan's repository. Does nothing to one that is there: it fails.

    \b
    Example:
      backup-platform --plan backup.yaml init
    """
    session = session_of(ctx)
    info, out = session.app.init(), session.out
    out.document(
        {
            "repository": {
                "id": info.id,
                "location": info.location,
                "created_at": shapes.moment(info.created_at),
                "encryption": info.encryption,
            }
        }
    )
    out.line(f"Made repository {info.id[:12]} at {info.location} (encryption: {info.encryption}).")
    out.line(f"Next: {session.command('backup')}")
    return 0
