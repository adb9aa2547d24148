"""The checks of a recovery point: what must be true of it, each with a verdict and numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from statistics import median

from backup_platform.actions.checks.table import AUTHENTIC, COMPLETE, DRILL, PLAUSIBLE, STORED
from backup_platform.actions.drill import DrillResult
from backup_platform.actions.evidence import Evidence
from backup_platform.actions.verify.run import ReadShare, verify
from backup_platform.actions.verify.trusted import unvouched, unvouched_of
from backup_platform.domain.checks import CheckResult, Severity, not_compared
from backup_platform.domain.model import Json, Proof, ProofMethod, RecoveryPoint
from backup_platform.domain.ports import Clock, Progress
from backup_platform.domain.trust.latest import in_time
from backup_platform.domain.trust.suspicion import RECENT, Amounts, advice, baseline, grown
from backup_platform.domain.windows.health import DrillPolicy, drill_due
from backup_platform.domain.words import how_many, with_others
from backup_platform.errors import DamageError
from backup_platform.repository.encryption.key_objects import key_problems
from backup_platform.repository.points.chains import ChainLink, chain_breaks, chain_gaps
from backup_platform.repository.records.forgotten import forgotten_places, read_forgotten
from backup_platform.repository.repository import Repository

RECORDS_READ = 32  # of forgotten points, the newest: each is read many times while it is young


def stored(
    repository: Repository, point: RecoveryPoint, share: ReadShare, clock: Clock, progress: Progress
) -> CheckResult:
    """Every object that the point needs exists. The packs of this window's share are read, and decoded if there is a
    key."""
    result = verify(repository, [point], share, clock, progress)
    texts = [text for findings in result.findings.values() for text in findings]
    metadata: dict[str, Json] = {
        "unvouched_bytes": unvouched_of(repository, point),
        "packs_needed": result.packs_needed,
        "packs_read": result.packs_read,
        "bytes_read": result.bytes_read,
        "verify_s": result.duration_s,
    }
    decoded = result.packs_read - result.packs_not_decoded
    good = f"{how_many(result.packs_needed, 'pack')} present, {decoded} read back and decoded"
    if result.packs_not_decoded:
        metadata["packs_not_decoded"] = result.packs_not_decoded
        good += f", {result.packs_not_decoded} only compared with their hashes, because no identity here opens them"
    return STORED.result(result.passed, with_others(texts) or good, metadata)


def complete(point: RecoveryPoint) -> CheckResult:
    """Nothing was skipped or unreadable, and the point holds as much as the source counted.

    Files that changed while they were read are stored, but may mix two states: this is a warning. So are the warnings
    of the source itself, which are in its facts.
    """
    miscounts = [] if point.incomplete else _miscounts(point)
    warned = _warnings(point)
    texts = [f"{p.status.value}: {p.path} {p.detail}".rstrip() for p in point.problems] + miscounts + warned
    count = point.problem_count + len(miscounts) + len(warned)
    metadata: dict[str, Json] = {"problems": point.problem_count, "files": point.stats.files}
    if texts:
        metadata["listed"] = list[Json](texts[:20])
    mild = count > 0 and not point.incomplete and not miscounts
    severity: Severity = "warn" if mild else "error"
    summary = f"{how_many(count, 'problem')}: {texts[0]}" if texts else "nothing is missing"
    return COMPLETE.result(not texts and not point.incomplete, summary, metadata, severity=severity)


def _warnings(point: RecoveryPoint) -> list[str]:
    warned = point.facts.get("warnings")
    return [str(text) for text in warned] if isinstance(warned, list) else []


def _miscounts(point: RecoveryPoint) -> list[str]:
    held = {"files": point.stats.files, "bytes": point.stats.source_bytes}
    return [
        f"{count} {name} are stored, but the source counted {point.facts[name]}."
        for name, count in held.items()
        if name in point.facts and point.facts[name] != count
    ]


def authentic(repository: Repository, point: RecoveryPoint, *, whole: bool = False) -> CheckResult:
    """The manifest has the right hash, place and predecessor, and so has every manifest before it. With `whole`, every
    place of the chain must have a point or the record of a forgotten one. Copies need not hold all points."""
    try:
        points = repository.points.all(point.source, reread=True)
    except DamageError as error:
        return AUTHENTIC.result(False, error.message)
    forgotten = forgotten_places(repository.objects, point.source)
    links = [ChainLink(point.source, each.sequence, each.point) for each in forgotten]
    texts = chain_breaks(points, links) + (chain_gaps(points, links) if whole else [])
    newest = sorted(forgotten, key=lambda each: each.stored_at)[-RECORDS_READ:]
    texts += [error.message for error in read_forgotten(repository.objects, newest)[1]]
    texts += [str(each) for each in key_problems(repository.cipher)]
    doubts = Evidence(repository).of_points([point.id])
    texts += doubts.findings()
    if point.id not in {p.id for p in points}:
        texts.append(f"The manifest of {point.id[:12]} is not in the store any more.")
    metadata: dict[str, Json] = {"chain_length": len(points), "forgotten": len(forgotten)}
    metadata |= {"forged_records": len(doubts.forged)} if doubts.forged else {}
    good = f"manifest and a chain of {how_many(len(points), 'point')} hold"
    good += f", {len(forgotten)} were forgotten" if forgotten else ""
    return AUTHENTIC.result(not texts, with_others(texts) or good, metadata)


def plausible(history: Sequence[RecoveryPoint], point: RecoveryPoint) -> CheckResult:
    """The judgement about the contents at the commit, and whether they have grown much since the points before."""
    before = [each.stats.source_bytes for each in baseline(history, point.kind, point.sequence)]
    metadata: dict[str, Json] = {"points": len(before), "suspect": point.is_suspect}
    if before:
        usual = round(median(before[-RECENT:]))
        metadata |= {
            "usual_bytes": usual,
            **({"ratio": round(point.stats.source_bytes / usual, 4)} if usual else {}),
        }
    if point.suspect:
        metadata["listed"] = list[Json](point.suspect)
    if point.is_suspect:
        text = f"suspect: {with_others(point.suspect)}"
        return PLAUSIBLE.result(False, text, metadata, advice=advice(point))
    held = f"it has {Amounts.of(point.stats, point.facts)}"
    if point.accepted:
        return PLAUSIBLE.result(True, f"{held}; accepted: {point.accepted}", metadata)
    if not before:
        return not_compared(PLAUSIBLE.name, metadata)
    problem = grown(before, point.stats.source_bytes)
    good = f"{held}; compared with {how_many(len(before), 'earlier point')}"
    return PLAUSIBLE.result(not problem, problem or good, metadata, severity="warn")


def drill_check(
    repository: Repository,
    point: RecoveryPoint,
    policy: DrillPolicy,
    timezone: str,
    drill: Callable[[], DrillResult],
) -> CheckResult:
    """Run a drill if the policy requires one. Otherwise give the result of an earlier drill of the same point."""
    possible = repository.cipher.reads_contents
    if possible and policy == "window":
        return drilled(drill())
    history, _ = repository.points.readable(point.source)
    recorded, _ = Evidence(repository).proofs()
    drills = [
        (each, proof)
        for each in history
        for proof in recorded.get(each.id, [])
        if proof.method is ProofMethod.DRILL
    ]
    counting = [(each, proof) for each, proof in drills if in_time(each) and not each.is_suspect]
    passed = [(each.window, proof.at) for each, proof in counting if proof.passed]
    own = [proof for each, proof in drills if each.id == point.id]
    windows, on_trust = [window for window, _ in passed], unvouched(repository, [point], recorded)[point.id]
    if possible and drill_due(policy, point.window, windows, timezone, on_trust=bool(on_trust)):
        return drilled(drill())
    if own:
        return drill_recorded(own[-1])
    why = "" if possible else "no identity on this host opens the contents"
    return drill_skipped(policy, [at for _, at in passed], why=why)


def drilled(result: DrillResult) -> CheckResult:
    """The verdict of a drill."""
    differences = result.report.differences
    metadata: dict[str, Json] = {**result.report.compared, "drill_s": result.proof.duration_s}
    if differences:
        metadata["differences"] = list[Json](differences[:20])
    good = f"restored and compared in {result.proof.duration_s:.1f} s"
    return DRILL.result(result.proof.passed, with_others(differences) or good, metadata)


def drill_recorded(proof: Proof) -> CheckResult:
    """The verdict of an earlier drill of the same point."""
    verdict = "restored and compared" if proof.passed else "differences were found"
    metadata: dict[str, Json] = {"drilled_at": proof.at.isoformat()}
    return DRILL.result(proof.passed, f"{verdict} at {proof.at:%Y-%m-%d %H:%M} UTC", metadata)


def drill_skipped(policy: str, passed: Sequence[datetime], *, why: str = "") -> CheckResult:
    """The verdict if no drill was due or possible: the point is not proven, so the check is not passed. `passed` are
    the times of earlier drills that passed."""
    when = f"the last that passed was {max(passed):%Y-%m-%d %H:%M} UTC" if passed else "none has passed yet"
    summary = f"not drilled: {why or f'policy {policy}'}; {when}"
    return DRILL.result(False, summary, {"policy": policy}, severity="warn", ran=False)
