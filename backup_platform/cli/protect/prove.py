"""`verify` and `drill`: prove that what is stored is right, and that it restores."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

from backup_platform.cli.arguments import POINT, POINT_HELP
from backup_platform.cli.context import CliSession, session_of
from backup_platform.cli.display import json_shapes as shapes
from backup_platform.cli.display.output import Output
from backup_platform.cli.display.values import value_lines
from backup_platform.cli.recover.rows import seconds_of
from backup_platform.domain import words
from backup_platform.domain.model import Json
from backup_platform.errors import ProofError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backup_platform.actions.verify.read_cycle import ReadStatus
    from backup_platform.actions.verify.run import VerifyResult
    from backup_platform.repository.records.proofs import Unrecorded

FINDINGS_SHOWN = 50


def verify(
    ctx: typer.Context,
    point: Annotated[
        str | None, typer.Argument(metavar="POINT", help=f"{POINT_HELP} [default: the whole repository]")
    ] = None,
    read: Annotated[
        str,
        typer.Option(
            "--read", metavar="all|N%|none", help="How much of the stored data is read and decoded."
        ),
    ] = "all",
    due: Annotated[
        bool,
        typer.Option(
            "--due", help="Read only what is due today, so that each cycle reads every stored byte once."
        ),
    ] = False,
) -> int:
    """Check the stored data: is it present, authentic and decodable?

    Data that --read leaves out is only checked for existence and size. Repeated runs choose other parts, so that all
    data is read in time. If you run --due once a day, every byte is read again within the cycle of the repository
    (verify: {cycle: 30d} in the plan).

    \b
    Examples:
      backup-platform verify
      backup-platform verify --due
      backup-platform verify shop@latest --read 10%
    """
    session = session_of(ctx)
    if due:
        read = _due(point, read)
    with session.progress(f"verify {point or 'repository'}") as progress:
        result = session.app.proofs.verify(point, read=read, progress=progress)
    session.out.document(_verify_shape(result, read))
    _print_verified(session, result)
    return 0 if result.passed else ProofError.exit_code


def _due(point: str | None, read: str) -> str:
    if point or read != "all":
        raise UsageError(
            "--due reads the part of the whole repository that is due.",
            hint="Leave out the point and --read, or leave out --due.",
        )
    return "due"


def _verify_shape(result: VerifyResult, read: str) -> dict[str, Json]:
    findings: list[Json] = [
        {"point": point or None, "text": text} for point, texts in result.findings.items() for text in texts
    ]
    return {
        "passed": result.passed,
        "read": read,
        "points": len(result.points),
        "incomplete_points": sum(point.incomplete for point in result.points),
        "packs": result.packs_needed,
        "packs_read": result.packs_read,
        "packs_not_decoded": result.packs_not_decoded,
        "bytes_read": result.bytes_read,
        "duration_s": result.duration_s,
        "findings": findings,
        "rotation": _rotation_shape(result.rotation) if result.rotation else None,
        "unrecorded": result.unrecorded.reason,
        "notes": list[Json](result.notes),
    }


def _rotation_shape(status: ReadStatus) -> dict[str, Json]:
    return {
        "packs": status.packs,
        "bytes": status.size,
        "bytes_read_in_cycle": status.size_read,
        "bytes_never_read_again": status.size_never,
        "bytes_due": status.size_due,
        "oldest_unverified_s": status.oldest_s,
        "cycle_s": status.cycle_s,
        "damaged": list[Json](status.damaged),
    }


def _print_rotation(session: CliSession, status: ReadStatus) -> None:
    out, command = session.out, session.command("repair", "--dry-run")
    age, cycle = (words.days(seconds / words.DAY_S) for seconds in (status.oldest_s, status.cycle_s))
    read = f"{words.size(status.size_read)} of {words.size(status.size)} read again within {cycle}"
    late = out.paint(" That is too long: run this once a day.", "bad") if status.overdue else ""
    out.line(f"{read}; the oldest unread byte is {age} old.{late}")
    for key in status.damaged:
        out.line(f"  {out.paint('x', 'bad')} {key} is damaged: see `{command}`.")


def _print_verified(session: CliSession, result: VerifyResult) -> None:
    out = session.out
    names = {point.id: words.point_name(point) for point in result.points}
    for point, texts in result.findings.items():
        out.line(f"{names.get(point, 'repository')}:")
        _print_findings(out, texts)
    points, packs = len(result.points), result.packs_needed
    checked = f"{words.how_many(points, 'recovery point')}, {words.how_many(packs, 'pack')}"
    read = f"{words.count(result.packs_read)} of them read ({words.size(result.bytes_read)})"
    out.line(f"{verdict(out, result.passed)}: {checked}, {read}, in {words.duration(result.duration_s)}")
    for text in result.notes:
        out.line(f"note: {text}")
    if result.rotation:
        _print_rotation(session, result.rotation)
    if result.packs_read < result.packs_needed:
        out.line("The other packs were only checked for existence and size.")
    if result.packs_not_decoded:
        closed = words.how_many(result.packs_not_decoded, "pack")
        out.line(
            f"Read and compared with its hash, not decoded: {closed}. No identity on this host opens more."
        )
    _print_unrecorded(out, result.unrecorded)


def drill(
    ctx: typer.Context,
    point: POINT,
    longest: Annotated[
        str | None,
        typer.Option(
            "--time-limit",
            metavar="TIME",
            help="End it after this time, such as 12h, or none; by default the source's `max_runtime` (6h).",
        ),
    ] = None,
) -> int:
    """Prove a recovery point: restore it into a sandbox and compare it with what was captured.

    The result is recorded, and `points` shows it. A drill that was ended has none.

    \b
    Example:
      backup-platform drill shop@latest
    """
    session = session_of(ctx)
    within = math.inf if longest == "none" else None if longest is None else seconds_of(longest)
    with session.progress(f"drill {point}") as progress:
        result = session.app.proofs.drill(point, progress=progress, time_limit_s=within)
    out, proof, report = session.out, result.proof, result.report
    differences: list[Json] = list(report.differences)
    out.document(
        {
            "passed": proof.passed,
            "point": shapes.point(result.point),
            "proof": shapes.proof(proof),
            "compared": dict(report.compared),
            "differences": differences,
            "unrecorded": result.unrecorded.reason,
        }
    )
    _print_findings(out, report.differences)
    name = words.point_in_full(result.point)
    out.line(f"{verdict(out, proof.passed)}: {name}, in {words.duration(proof.duration_s)}")
    for line in value_lines({"compared": dict(report.compared)}, "  "):
        out.line(line)
    if result.point.is_suspect:
        out.line(
            "  It is suspect: the drill proves what the point holds, but not that the source held no more."
        )
    if result.point.incomplete:
        out.line(
            "  It is incomplete: the drill proves what the point holds, but not what is missing from it."
        )
    _print_unrecorded(out, result.unrecorded)
    return 0 if proof.passed else ProofError.exit_code


def _print_unrecorded(out: Output, unrecorded: Unrecorded) -> None:
    if unrecorded.reason:
        out.line(f"{out.paint('The proof could not be recorded', 'warn')}: {unrecorded.reason}")


def verdict(out: Output, passed: bool) -> str:
    return out.paint("PASSED", "good") if passed else out.paint("FAILED", "bad")


def _print_findings(out: Output, findings: Sequence[str]) -> None:
    for finding in findings[:FINDINGS_SHOWN]:
        out.line(f"  {out.paint('x', 'bad')} {finding}")
    if len(findings) > FINDINGS_SHOWN:
        out.line(f"  {words.more(len(findings) - FINDINGS_SHOWN)}; --json lists all")
