"""`init`: make the plan's repository."""

from __future__ import annotations

from typing import Annotated

import typer

from backup_platform.cli import shapes
from backup_platform.cli.context import session_of


def init(
    ctx: typer.Context,
    recipient: Annotated[
        list[str] | None,
        typer.Option(
            "--recipient",
            metavar="age1…",
            help="Encrypt to this public key; may be repeated. Without it the repository is not encrypted.",
        ),
    ] = None,
    copy_of: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="NAME",
            help="Make it as a copy of this repository of the plan. All but the first are made as copies of the first.",
        ),
    ] = None,
) -> int:
    """Make the plan's repository. Does nothing to one that is there: it fails.

    An encrypted one needs a place for its key, `key_file` in the plan: the key is made there. Give two recipients, so
    that losing one identity loses nothing.

    \b
    Examples:
      backup-platform --plan backup.yaml init
      backup-platform init --recipient age1… --recipient age1…
      backup-platform init --repository offsite
    """
    session = session_of(ctx)
    info, out = session.app.init(recipients=recipient or (), copy_of=copy_of), session.out
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
    if recipient is not None and len(recipient) == 1:
        out.line(
            "There is one recipient: if its identity is lost, everything is. `key add` adds another one."
        )
    if copy_of or session.repository:
        out.line("Next: `backup-platform copy` brings recovery points to a copy.")
    else:
        out.line(f"Next: {session.command('backup')}")
    return 0
