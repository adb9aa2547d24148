"""`key …`: who can open an encrypted repository."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from backup_platform.cli.context import session_of
from backup_platform.cli.display import json_shapes as shapes
from backup_platform.cli.recover.points import print_doubts
from backup_platform.domain.model import Json
from backup_platform.domain.words import how_many, point_label

if TYPE_CHECKING:
    from backup_platform.repository.encryption.recipients import StoredRecipient

FILE = Annotated[str, typer.Argument(metavar="FILE", help="A file that does not exist yet.")]
NAMED = Annotated[list[str] | None, typer.Argument(metavar="[RECIPIENT]...", help="Only for these, age1…")]
RECIPIENT = Annotated[str, typer.Argument(metavar="RECIPIENT", help="A public key, age1…")]


def generate(ctx: typer.Context, file: FILE) -> int:
    """Create an identity (a private key) in a new file, and print its public key. Needs no plan.

    Only the owner can read the file. Do not keep it on the hosts that back up, and keep a second copy elsewhere.
    `age-keygen` makes the same kind of file.

    \b
    Example:
      backup-platform key generate /media/usb/backup-identity.txt
    """
    from backup_platform.actions.keys.run import generate_key

    recipient, out = generate_key(file, datetime.now(UTC)), session_of(ctx).out
    out.document({"recipient": recipient, "file": file})
    out.line(f"Wrote an identity to {file}. If all identities are lost, all backups are lost.")
    out.line(f"Its public key, the recipient: {recipient}")
    return 0


def add(ctx: typer.Context, recipient: RECIPIENT) -> int:
    """Encrypt new data to one more recipient. Needs the repository key only.

    `key rewrap` lets the new recipient read the data that is already stored.

    \b
    Example:
      backup-platform key add age1…
    """
    session = session_of(ctx)
    added, out = session.app.keys.add(recipient), session.out
    out.document({"recipient": _shape(added)})
    planned = session.app.keys.planned
    if planned and added.text not in planned:
        out.line(
            f"Added {added.text}. Nothing is encrypted to it yet: add it to `recipients` of the plan, too."
        )
        return 0
    out.line(f"Added {added.text}: its identity can read what is stored from now on.")
    out.line(f"To let it read what is already stored: {session.command('key', 'rewrap')}")
    return 0


def retire(ctx: typer.Context, recipient: RECIPIENT) -> int:
    """Stop encrypting new data to a recipient. It can still read what was stored before.

    \b
    Example:
      backup-platform key retire age1…
    """
    session = session_of(ctx)
    retired, out = session.app.keys.retire(recipient), session.out
    out.document({"recipient": _shape(retired)})
    if retired.text in session.app.keys.planned:
        out.line(
            f"Retired {retired.text}. `recipients` of the plan still name it: it is written to until you remove it "
            "there."
        )
        return 0
    out.line(f"Retired {retired.text}: runs that start from now on do not encrypt to it.")
    return 0


def list_keys(ctx: typer.Context) -> int:
    """List all recipients, when they were added, and when their identities were last tested.

    \b
    Example:
      backup-platform key list
    """
    session = session_of(ctx)
    found, out = session.app.keys.recipients(), session.out
    info, problems = session.app.repository.info, session.app.keys.problems()
    recipients: list[Json] = [_shape(each) for each in found]
    doubts = session.app.proofs.evidence.of_keys()
    out.document(
        {
            "fingerprint": info.fingerprint,
            "recipients": recipients,
            "problems": list[Json]([session.written(each) for each in problems]),
            "forged": [*doubts.forged],
            "notes": [*doubts.notes()],
        }
    )
    out.line(f"fingerprint  {info.fingerprint}")
    for each in found:
        state = f"retired {_day(each.retired_at)}" if each.retired_at else f"since {_day(each.added_at)}"
        tested = f"tested {_day(each.tested_at)}" if each.tested_at else out.paint("never tested", "warn")
        out.line(f"{each.text}  {state}  {tested}")
    for text in problems:
        out.line(f"{out.paint('x', 'bad')} {session.written(text)}")
    print_doubts(out, doubts)
    return 1 if problems or doubts.forged else 0


def test(ctx: typer.Context) -> int:
    """Test that the identities on this host open the repository and a pack of its newest point.

    \b
    Example:
      BACKUP_PLATFORM_IDENTITY_FILE=/media/usb/identity.txt backup-platform key test
    """
    session = session_of(ctx)
    with session.progress("key test"):
        tests = session.app.keys.test()
    out = session.out
    out.document(
        {
            "tests": [
                {
                    "recipient": _shape(each.recipient),
                    "point": each.point.id if each.point else None,
                    "pack": each.pack or None,
                }
                for each in tests
            ]
        }
    )
    for each in tests:
        what = point_label(each.point) if each.point else "the repository, which is empty"
        read = "one pack read" if each.pack else "no contents to read"
        out.line(f"{out.paint('PASSED', 'good')}: {each.recipient.text} opens {what} ({read}).")
        out.line(f"  The last test before this one: {_ago(each.recipient.tested_at)}.")
    return 0


def rewrap(ctx: typer.Context, recipients: NAMED = None) -> int:
    """Let recipients read everything that is stored. Needs an identity. No pack is stored again.

    These are the ones given, or else those that the plan names, or else the current ones that this host knows. Others
    are named, and get nothing: the exit code is 3.

    \b
    Example:
      backup-platform key rewrap
    """
    session = session_of(ctx)
    with session.progress("key rewrap"):
        done = session.app.keys.rewrap(recipients or ())
    out, texts = session.out, [session.written(each) for each in done.unexpected]
    out.document({"packs": done.packs, "to": list[Json](done.to), "recipients": list[Json](texts)})
    out.line(f"{how_many(done.packs, 'pack')} can now be read by {', '.join(done.to)}.")
    for text in texts:
        out.line(f"{out.paint('x', 'bad')} {text}")
    if texts:
        out.line("Recipients that this host or the plan does not know got nothing.")
    return 3 if texts else 0


def export(ctx: typer.Context, file: FILE) -> int:
    """Write the repository key to a new key file, for another host that backs up or in place of a lost file.

    \b
    Example:
      backup-platform key export /etc/backup-platform/repository.key
    """
    session = session_of(ctx)
    session.app.keys.export(file)
    session.out.document({"file": file})
    session.out.line(f"Wrote the repository key to {file}. It opens names and structure, not contents.")
    return 0


def _shape(value: StoredRecipient) -> dict[str, Json]:
    return {
        "recipient": value.text,
        "added_at": shapes.moment(value.added_at),
        "retired_at": shapes.moment(value.retired_at) if value.retired_at else None,
        "tested_at": shapes.moment(value.tested_at) if value.tested_at else None,
    }


def _day(value: datetime) -> str:
    return f"{value.astimezone(UTC):%Y-%m-%d}"


def _ago(value: datetime | None) -> str:
    if value is None:
        return "never"
    return f"{_day(value)}, {how_many((datetime.now(UTC) - value).days, 'day')} ago"
