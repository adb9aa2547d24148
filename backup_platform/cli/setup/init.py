"""`init`: make the plan's repository."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from backup_platform.cli.context import session_of
from backup_platform.cli.display import json_shapes as shapes

if TYPE_CHECKING:
    from backup_platform.actions.trust.fingerprints import KnownFingerprint
    from backup_platform.cli.context import CliSession
    from backup_platform.repository.objects.info import RepositoryInfo


def init(
    ctx: typer.Context,
    recipient: Annotated[
        list[str] | None,
        typer.Option(
            "--recipient",
            metavar="age1…",
            help="Encrypt to this public key (repeatable). [default: `recipients` of the plan; without any, the "
            "repository is not encrypted]",
        ),
    ] = None,
    copy_of: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="NAME",
            help="Make it a copy of this repository of the plan. [default for all but the first: the first]",
        ),
    ] = None,
) -> int:
    """Create a repository of the plan. An existing repository is not changed: the command fails.

    An encrypted repository needs `key_file` in the plan: its new key is written there. Give at least two recipients,
    so that you can still restore after the loss of one identity.

    \b
    Examples:
      backup-platform --plan backup.yaml init
      backup-platform init --recipient age1… --recipient age1…
      backup-platform init --repository offsite
    """
    session = session_of(ctx)
    before = session.app.recognising.place.memory()
    info, out = session.app.setup.init(recipients=recipient or (), copy_of=copy_of), session.out
    out.document(
        {
            "repository": {
                "id": info.id,
                "location": info.location,
                "created_at": shapes.moment(info.created_at),
                "encryption": info.encryption,
                "fingerprint": info.fingerprint,
            }
        }
    )
    out.line(f"Made repository {info.id[:12]} at {info.location} (encryption: {info.encryption}).")
    _print_fingerprint(session, info, before)
    if recipient is not None and len(recipient) == 1:
        out.line(
            "There is only one recipient: if its identity is lost, all backups are lost. To add another one: "
            f"`{session.command('key', 'add', 'age1…')}`."
        )
    out.line(f"Next: {_next(session, copy_of)}")
    return 0


def _print_fingerprint(session: CliSession, info: RepositoryInfo, before: KnownFingerprint | None) -> None:
    out, recognising = session.out, session.app.recognising
    out.line(f"Its fingerprint: {info.fingerprint}")
    if recognising.pin is None:
        out.line(
            f"Write it into the plan as {recognising.plan_key}.fingerprint, and on the recovery sheet "
            "(docs/rescue.md). A restore can then detect another repository in its place."
        )
    if before and before.fingerprint != info.fingerprint:
        out.line(
            f"Before, {before.fingerprint} was there. Hosts that know it refuse this one until their plan has "
            "the new fingerprint."
        )


def _next(session: CliSession, copy_of: str | None) -> str:
    """The command that brings the first recovery points."""
    if not copy_of and not session.repository:
        return session.command("backup")
    return session.command_in(copy_of, "copy", "--to", session.app.repository_name)
