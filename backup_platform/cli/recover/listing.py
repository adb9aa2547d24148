"""`ls` and `diff`: what a recovery point holds, and what changed between two."""

from __future__ import annotations

import stat as stat_bits
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Annotated

import typer

from backup_platform.cli.arguments import POINT, POINT_HELP
from backup_platform.cli.context import session_of
from backup_platform.cli.display import json_shapes as shapes
from backup_platform.cli.display.names import printable
from backup_platform.cli.recover.row_diff import diff_rows
from backup_platform.cli.recover.rows import TIME_LIMIT_HELP
from backup_platform.domain.model import Entry, EntryKind, Status
from backup_platform.domain.windows.zones import zone_of
from backup_platform.errors import UsageError

if TYPE_CHECKING:
    from backup_platform.actions.points.inventory import Difference

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TYPES = {
    EntryKind.FILE: stat_bits.S_IFREG,
    EntryKind.DIRECTORY: stat_bits.S_IFDIR,
    EntryKind.SYMLINK: stat_bits.S_IFLNK,
    EntryKind.FIFO: stat_bits.S_IFIFO,
    EntryKind.CHAR_DEVICE: stat_bits.S_IFCHR,
    EntryKind.BLOCK_DEVICE: stat_bits.S_IFBLK,
    EntryKind.SOCKET: stat_bits.S_IFSOCK,
}
_MARKS = {"added": ("+", "good"), "removed": ("-", "bad"), "changed": ("M", "warn"), "metadata": ("m", "")}
_COUNTED = {
    "added": "added",
    "removed": "removed",
    "changed": "changed",
    "metadata": "with only metadata changed",
}


def ls(
    ctx: typer.Context,
    point: POINT,
    path: Annotated[
        str | None, typer.Argument(metavar="PATH", help="Only this path and everything below it.")
    ] = None,
) -> int:
    """List the contents of a recovery point, as `ls -l` does.

    Times are in the time zone of the source. Files that were not captured cleanly are marked as changed, vanished or
    unreadable. A name with characters that do not print is shown as $'...', which a shell understands.

    \b
    Examples:
      backup-platform ls uploads@latest
      backup-platform ls uploads@latest photos/2026
    """
    session = session_of(ctx)
    found, out = session.app.points.find(point), session.out
    entries = session.app.points.entries(found.id, path)
    if session.json:
        out.rows({"point": found.id}, "entries", map(shapes.entry, entries))
        return 0
    zone = zone_of(found.timezone)
    for entry in entries:
        status = "" if entry.status is Status.OK else "  " + out.paint(f"[{_status(entry)}]", "warn")
        out.line(_line(entry, zone) + status)
    return 0


def _status(entry: Entry) -> str:
    return f"{entry.status.value}: {entry.problem}" if entry.problem else entry.status.value


def _line(entry: Entry, zone: tzinfo) -> str:
    stat = entry.stat
    mode = stat_bits.filemode(_TYPES[stat.kind] | stat_bits.S_IMODE(stat.mode))
    owner, group = entry.user or str(stat.uid), entry.group or str(stat.gid)
    return f"{mode} {owner:<8} {group:<8} {stat.size:>12} {_when(stat.mtime_ns, zone)} {_name(entry)}"


def _when(mtime_ns: int, zone: tzinfo) -> str:
    """Years that no calendar here has are shown as `date -d` takes them: seconds since 1970."""
    try:
        moment = (_EPOCH + timedelta(microseconds=mtime_ns // 1000)).astimezone(zone)
    except OverflowError:
        return f"{'@' + str(mtime_ns // 1_000_000_000):<16}"
    return f"{moment.year:04}-{moment:%m-%d %H:%M}"


def _name(entry: Entry) -> str:
    name = printable(entry.stat.path)
    if entry.link_target is not None:
        return f"{name} -> {printable(entry.link_target)}"
    return name if entry.hardlink is None else f"{name} (same file as {printable(entry.hardlink)})"


def diff(
    ctx: typer.Context,
    a: Annotated[str, typer.Argument(metavar="A", help=POINT_HELP)],
    b: Annotated[str, typer.Argument(metavar="B", help="The recovery point to compare A with.")],
    table: Annotated[
        str | None,
        typer.Option("--table", metavar="T", help="Compare the rows of this table (schema.name, or name)."),
    ] = None,
    limit: Annotated[
        str | None,
        typer.Option("--limit", metavar="N", help="Show at most this many rows. [default: 20]"),
    ] = None,
    longest: Annotated[str | None, typer.Option("--time-limit", metavar="TIME", help=TIME_LIMIT_HELP)] = None,
) -> int:
    """List the differences between recovery point A and recovery point B.

    \b
    +  only in B
    -  only in A
    M  the content differs
    m  only metadata differs (mode, owner, times, attributes)

    With --table, the rows of one table are compared: by primary key, or by whole rows if there is none. All
    differences are counted, and the first ones are shown. The exit code is 0 with or without differences.

    \b
    Examples:
      backup-platform diff uploads@2026-11-21 uploads@latest
      backup-platform diff shop@2026-11-21 shop@latest --table orders
    """
    session = session_of(ctx)
    if table is not None:
        return diff_rows(session, a, b, table, limit, longest)
    if limit is not None or longest is not None:
        option = "--limit" if longest is None else "--time-limit"
        raise UsageError(f"{option} is for the rows of a table.", hint="Name one with --table.")
    before, after, out = session.app.points.find(a), session.app.points.find(b), session.out
    differences = session.app.points.diff(before.id, after.id)
    if session.json:
        out.rows({"a": before.id, "b": after.id}, "differences", map(shapes.difference, differences))
        return 0
    counts: Counter[str] = Counter()
    for difference in _counted(differences, counts):
        mark, style = _MARKS[difference.change]
        out.line(out.paint(f"{mark} {printable(difference.path)}", style))
    parts = [f"{counts[change]:,} {words}" for change, words in _COUNTED.items() if counts[change]]
    out.line(", ".join(parts) if parts else "No differences.")
    return 0


def _counted(differences: Iterator[Difference], counts: Counter[str]) -> Iterator[Difference]:
    for difference in differences:
        counts[difference.change] += 1
        yield difference
