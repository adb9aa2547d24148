"""`points` and `show`: which recovery points there are, and all that is known of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from backup_platform.cli.arguments import ONE_SOURCE, POINT
from backup_platform.cli.context import CliSession, session_of
from backup_platform.cli.display import formats
from backup_platform.cli.display import json_shapes as shapes
from backup_platform.cli.display.output import Output
from backup_platform.cli.display.table import Cell, TableColumn, print_table
from backup_platform.cli.display.values import value_lines
from backup_platform.cli.point_filter import PointFilter, one_zone, summary
from backup_platform.cli.protect.backup import print_problems
from backup_platform.domain import words
from backup_platform.domain.model import Json, Proof, ProofMethod, RecoveryPoint
from backup_platform.domain.trust.standing import Standing, State, standing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backup_platform.actions.evidence import Doubts

FACT_LINES = 20  # of one fact, for people

_WORDS = {
    State.FAILED: "FAILED proof",
    State.SUSPECT: "SUSPECT",
    State.INCOMPLETE: "incomplete",
    State.PROVEN: "proven",
    State.VERIFIED: "verified",
    State.UNPROVEN: "unproven",
}
_STYLES = {
    State.FAILED: "bad",
    State.SUSPECT: "bad",
    State.INCOMPLETE: "warn",
    State.PROVEN: "good",
    State.VERIFIED: "",
    State.UNPROVEN: "dim",
}
_COLUMNS = (
    TableColumn("source"),
    TableColumn("window"),
    TableColumn("captured", drop=1),
    TableColumn("id"),
    TableColumn("size", right=True, drop=2),
    TableColumn("new", right=True, drop=3),
    TableColumn("state"),
)


def points(
    ctx: typer.Context,
    source: ONE_SOURCE = None,
    last: Annotated[
        str | None, typer.Option("--last", metavar="N", help="Only the newest N of each source.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="DATE", help="Only windows that start on this day or later."),
    ] = None,
    state: Annotated[
        str | None,
        typer.Option("--state", metavar="S", help="Only points in this state, for example failed."),
    ] = None,
) -> int:
    """List the recovery points, oldest first, with the state of each, and which are held.

    \b
    proven        a drill restored it and found no difference
    verified      its stored data was read and checked, but it was never restored
    unproven      neither was done yet
    incomplete    it lacks a part of the source
    SUSPECT       the source looked emptied
    FAILED proof  a drill or a verify found a difference

    Times are in the time zone of the sources, or in UTC if the sources differ: the last line tells. A narrow terminal
    shows fewer columns. A pipe gets all of them.

    \b
    Examples:
      backup-platform points shop --last 10
      backup-platform points --state failed --since 2026-11-01
    """
    session, choice = session_of(ctx), PointFilter.of(last, since, state)
    found = sorted(
        [*session.app.points.all(source), *session.app.points.undecided(source)],
        key=lambda each: (each.source, each.window.start, each.sequence),
    )
    unreadable = session.app.points.unreadable(source)
    proofs, doubts = session.app.proofs.evidence.proofs()
    held = session.app.maintenance.holds.in_force() if found else {}
    judged = choice.of_points((point, standing(point, proofs.get(point.id, ()))) for point in found)
    if session.json:
        trusting = session.app.proofs.unvouched([point for point, _ in judged], proofs)
        session.out.rows(
            {"unreadable": [*unreadable], "forged": [*doubts.forged], "notes": [*doubts.notes()]},
            "points",
            (shapes.point(p, state, held.get(p.id, []), trusting[p.id]) for p, state in judged),
        )
    elif judged:
        zone = one_zone(point for point, _ in judged)
        print_table(
            session.out, _COLUMNS, [_row(point, state, point.id in held, zone) for point, state in judged]
        )
        session.out.line(summary(judged, len(found), zone))
    elif found:
        session.out.line(f"None of {words.how_many(len(found), 'recovery point')} fits.")
    else:
        session.out.line(f"There are no recovery points{f' of {source}' if source else ''} yet.")
    for text in unreadable:
        session.out.line(session.out.paint("DAMAGED ", "bad") + text)
    print_doubts(session.out, doubts)
    return 1 if unreadable or doubts.forged else 0


def print_doubts(out: Output, doubts: Doubts) -> None:
    """Print the records of the ledger that are not evidence."""
    for text in doubts.findings():
        out.line(out.paint("FORGED  ", "bad") + text)
    for text in doubts.notes():
        out.line(f"note: {text}")


def _row(point: RecoveryPoint, judged: Standing, held: bool, zone: str) -> list[Cell]:
    state, word = state_text(point, judged, zone), _WORDS[judged.state]
    return [
        Cell(point.source),
        Cell(point.window.key),
        Cell(formats.instant(point.captured_at, zone)),
        Cell(point.id[: words.ID_SHOWN], "", point.id[:8]),
        Cell(words.size(point.stats.source_bytes)),
        Cell(words.size(point.stats.new_bytes)),
        Cell(_and_held(state, held), _STYLES[judged.state], _and_held(word, held)),
    ]


def _and_held(text: str, held: bool) -> str:
    return f"{text}, held" if held else text


def state_text(point: RecoveryPoint, judged: Standing, zone: str) -> str:
    """`proven 2026-11-22 02:20`, `incomplete, 3 problems`, `FAILED proof 2026-11-22 02:20`."""
    word = _WORDS[judged.state]
    if judged.state is State.SUSPECT:
        return f"{word}: {point.suspect[0]}"
    if judged.state is State.INCOMPLETE:
        return f"{word}, {words.how_many(point.problem_count, 'problem')}"
    return word if judged.proof is None else f"{word} {formats.instant(judged.proof.at, zone)}"


def show(ctx: typer.Context, point: POINT) -> int:
    """Show everything that is recorded about a recovery point, and the commands that restore it.

    \b
    Example:
      backup-platform show shop@latest
    """
    session = session_of(ctx)
    found = session.app.points.find(point)
    proofs = session.app.proofs.details(found)
    judged = standing(found, proofs)
    commands = _restore_commands(session, found)
    doubts = session.app.proofs.evidence.of_points([found.id])
    held = session.app.maintenance.holds.in_force(found.id).get(found.id, [])
    unvouched = session.app.proofs.unvouched([found], {found.id: proofs})[found.id]
    described = shapes.point_in_full(found, judged, proofs, held, unvouched)
    info = session.app.repository.info
    where: Json = {"location": info.location, "fingerprint": info.fingerprint}
    session.out.document(
        {
            "point": described,
            "restore": commands,
            "repository": where,
            "forged": [*doubts.forged],
            "notes": [*doubts.notes()],
        }
    )
    kind = session.app.points.kind_of(found)
    form = f", {kind.sizes}" if kind.sizes != "source" else ""
    _print_point(session.out, found, judged, unvouched, form)
    session.out.line(f"{'repository:':<14}{info.location}, fingerprint {info.fingerprint}")
    for reason in found.suspect:
        session.out.line(f"{'suspect:':<14}{reason}")
    if found.accepted:
        session.out.line(f"{'accepted:':<14}{found.accepted}")
    for hold in held:
        session.out.line(f"{'held:':<14}{hold}")
    _print_facts(session.out, found.facts)
    _print_proofs(session.out, found, proofs)
    print_doubts(session.out, doubts)
    session.out.line()
    session.out.line("Restore it:")
    for command in commands.values():
        session.out.line(f"  {command}")
    return 1 if doubts.forged else 0


def _print_point(
    out: Output, point: RecoveryPoint, judged: Standing, unvouched: int | None, form: str
) -> None:
    window, zone, stats = point.window, point.timezone, point.stats
    predecessor = f", after {point.predecessor[: words.ID_SHOWN]}" if point.predecessor else ""
    fields = {
        "point": point.id,
        "state": out.paint(state_text(point, judged, zone), _STYLES[judged.state]),
        "source": f"{point.source} ({point.kind})",
        "window": f"{window.key} ({zone})",
        "starts": formats.instant_full(window.start, zone),
        "ends": formats.instant_full(window.end, zone),
        "captured": formats.instant_full(point.captured_at, zone) + _late(point),
        "committed": formats.instant_full(point.committed_at, zone),
        "sequence": f"{point.sequence}{predecessor}",
        "files": words.count(stats.files),
        "source bytes": _exact(stats.source_bytes) + form,
        "new bytes": f"{_exact(stats.new_bytes)}, dedup {words.share(stats.dedup_ratio)}",
        "stored bytes": _exact(stats.stored_bytes),
        "unvouched": "unknown" if unvouched is None else _exact(unvouched),
        "duration": f"{words.duration(stats.duration_s)}, {words.rate(stats.source_bytes, stats.duration_s)}",
        "inventory": f"{_exact(point.inventory.size)}",
        "versions": ", ".join(f"{name} {version}" for name, version in point.versions.items()) or "-",
        "problems": words.count(point.problem_count),
    }
    for name, value in fields.items():
        out.line(f"{name + ':':<14}{value}")
    print_problems(out, point, len(point.problems))


def _late(point: RecoveryPoint) -> str:
    return f", {words.duration(point.lateness_s)} late" if point.lateness_s > 0 else ""


def _exact(amount: int) -> str:
    return words.size(amount) if amount < 1000 else f"{words.size(amount)} ({amount:,})"


def _print_facts(out: Output, facts: Mapping[str, Json]) -> None:
    if facts:
        out.line()
        out.line("Facts, from the source itself inside the snapshot:")
    for name in facts:
        lines = list(value_lines({name: facts[name]}, "  "))
        for line in lines[:FACT_LINES]:
            out.line(line)
        if len(lines) > FACT_LINES:
            out.line(f"    {words.more(len(lines) - FACT_LINES, 'lines')}: --json shows them")


def _print_proofs(out: Output, point: RecoveryPoint, proofs: list[Proof]) -> None:
    if proofs:
        out.line()
        out.line(f"Proofs, oldest first (times in {point.timezone}):")
    for proof in sorted(proofs, key=lambda each: each.at):
        verdict = out.paint("passed", "good") if proof.passed else out.paint("FAILED", "bad")
        when = formats.instant(proof.at, point.timezone)
        out.line(f"  {when}  {proof.method.value:<6} {verdict} in {words.duration(proof.duration_s)}")
    if not any(proof.passed and proof.method is ProofMethod.DRILL for proof in proofs):
        out.line()
        out.line("It was never restored in a drill that passed.")


def _restore_commands(session: CliSession, point: RecoveryPoint) -> dict[str, Json]:
    short = point.id[: words.ID_SHOWN]
    commands: dict[str, Json] = {
        "all": session.command("restore", short, "--to", f"./restored-{point.source}"),
    }
    kind = session.app.points.kind_of(point)
    if kind.server:
        create = ("--create",) if "create" in kind.server.options else ()
        url = kind.server.url.format(source=point.source)
        commands["database"] = session.command("restore", short, "--into", url, *create)
    if kind.tree:
        commands["one_path"] = session.command(
            "restore", short, "some/path", "--to", f"./restored-{point.source}"
        )
    return commands
