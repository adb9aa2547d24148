"""Verify: is stored data present, authentic and decodable?

Packs that are read are decoded and compared blob by blob. Without a key to the contents they are only compared with the
hash that is their name. This shows that they are unchanged since they were written, when they were decoded and
compared. The result says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from backup_platform.actions.structure import Needs, needs_of
from backup_platform.actions.verify.claims import ClaimDoubts, doubted_claims, needed_but_closed
from backup_platform.actions.verify.opening import closed_to_this_host
from backup_platform.actions.verify.packs import PacksRead, read_packs
from backup_platform.actions.verify.read_cycle import ReadCycle, ReadStatus
from backup_platform.actions.verify.tombstones import doubted_tombstones
from backup_platform.actions.verify.trusted import AT_ONCE, Trusting, within
from backup_platform.domain.model import Json, Proof, ProofMethod, RecoveryPoint, Window
from backup_platform.domain.ports import Clock, Progress
from backup_platform.errors import UsageError
from backup_platform.repository.objects.names import PackKey
from backup_platform.repository.packs.decoded import disown, misdescribed
from backup_platform.repository.packs.false_claims import NOT_HELD
from backup_platform.repository.points.chains import chain_breaks, forgotten_links
from backup_platform.repository.records.proofs import Unrecorded
from backup_platform.repository.repository import Repository


@dataclass(frozen=True, slots=True)
class ReadShare:
    """Which packs are read again: one of `cycle` parts, chosen by pack id and `slot`; all if `cycle` is 1. Consecutive
    slots read every pack once per cycle."""

    cycle: int = 1
    slot: int = 0

    def __contains__(self, key: str) -> bool:
        return self.cycle > 0 and int(key[-8:], 16) % self.cycle == self.slot % self.cycle


def read_share(text: str, day: date) -> ReadShare:
    """`all`, `none`, or `N%`, which reads another part each day. Raises UsageError."""
    if text in ("all", "none"):
        return ReadShare(cycle=1 if text == "all" else 0)
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", text)
    if not match or not 0 < float(match[1]) <= 100:
        raise UsageError(
            f"{text!r} is not a share of the packs.", hint="Write all, none, or a percentage such as 10%."
        )
    return ReadShare(cycle=max(1, round(100 / float(match[1]))), slot=day.toordinal())


def window_share(text: str, window: Window) -> ReadShare:
    """The share of a window. If the windows follow each other, each one reads the part after that of the one before."""
    length = max((window.end - window.start).total_seconds(), 1)
    share = read_share(text, window.start.date())
    return ReadShare(share.cycle, round(window.start.timestamp() / length))


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """`findings` has one sentence for each thing that is wrong, by point id (`""`: the repository). `packs_not_decoded`
    of the packs that were read have the right hash, but no key on this host opens them. `rotation` is the status of the
    read cycle, if it was asked for. `unrecorded` says why the ledger lacks a part of the result. `notes` are sentences
    about the repository that do not concern its points."""

    points: tuple[RecoveryPoint, ...]
    packs_needed: int
    packs_read: int
    bytes_read: int
    duration_s: float
    findings: dict[str, list[str]] = field(default_factory=dict)
    packs_not_decoded: int = 0
    rotation: ReadStatus | None = None
    unrecorded: Unrecorded = field(default_factory=Unrecorded)
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.findings


def verify(
    repository: Repository,
    points: Sequence[RecoveryPoint],
    share: ReadShare,
    clock: Clock,
    progress: Progress,
    *,
    record: bool = True,
    unreadable: Sequence[str] = (),
    whole: bool = False,
    after: Callable[[Mapping[PackKey, str]], None] = lambda sound: None,
) -> VerifyResult:
    """Verify recovery points, and record a proof for each point of which every needed pack was read again. `unreadable`
    says what is wrong with damaged or lost manifests: these are findings of the repository. `after` is called with the
    sound packs that were read, after every few of them. `whole`: these are all points. If everything is read, what
    indexes say of packs that no point needs is then compared, too."""
    started = clock.monotonic()
    needs = _needs(repository, points)
    shared = {key for need in needs.values() for key in need.packs if key in share or key in need.suspects}
    sizes = repository.indexes().listed
    trusting = Trusting.of(repository, points)
    limit = max(AT_ONCE, sum(sizes.get(key, 0) for key in shared))
    first = within(trusting.packs(needs), sizes, limit) if share.cycle else []
    packs = [*first, *sorted(shared.difference(first))]
    progress.expect(size=sum(sizes.get(key, 0) for key in packs))
    reading = read_packs(repository, packs, progress, after)
    wrong = _disowned(repository, reading, record=record)
    claims = (
        _unneeded(repository, needs, reading, record=record) if whole and share.cycle == 1 else ClaimDoubts()
    )
    result = _result(
        repository,
        points,
        needs,
        reading,
        [*unreadable, *claims.wrong.values()],
        clock.monotonic() - started,
        wrong=wrong,
        notes=claims.notes,
    )
    if record:
        _record(repository, result, clock, whole=share.cycle == 1)
        with result.unrecorded.noting():
            trusting.settle(reading.sound, needs)
    return result


def _disowned(repository: Repository, reading: PacksRead, *, record: bool = True) -> dict[PackKey, str]:
    """What is wrong with indexes of the packs that were read, by the packs' keys: they are not used any more."""
    wrong = misdescribed(repository.indexes(), repository.cipher.hash, reading.sound)
    if wrong and record:
        with reading.unrecorded.noting():
            disown(repository.objects, {key: reading.sound[key] for key in wrong})
            _note_claims(repository, wrong)
    return wrong


def _unneeded(
    repository: Repository, needs: Mapping[str, Needs], reading: PacksRead, *, record: bool
) -> ClaimDoubts:
    """What indexes say wrongly of packs that no point needs. It is recorded."""
    needed = {key for need in needs.values() for key in need.packs}
    doubts = doubted_claims(repository, needed)
    if record:
        with reading.unrecorded.noting():
            _note_claims(repository, doubts.wrong)
    return doubts


def _note_claims(repository: Repository, wrong: Mapping[PackKey, str]) -> None:
    for key in sorted(wrong):
        repository.marks.note_false_claim(key, NOT_HELD)


def _breaks(repository: Repository, points: Sequence[RecoveryPoint]) -> list[str]:
    sources = {point.source for point in points}
    return chain_breaks(points, forgotten_links(repository.objects, *sources) if len(points) > 1 else ())


def verify_due(
    cycle: ReadCycle,
    points: Sequence[RecoveryPoint],
    progress: Progress,
    *,
    unreadable: Sequence[str] = (),
    budget: int | None = None,
) -> VerifyResult:
    """Verify that everything that points need exists, and read the stored data that is due.

    If a point needs a damaged pack, this verdict is recorded. A good verdict is not recorded, because not everything
    was read.
    """
    repository, clock = cycle.repository, cycle.clock
    started = clock.monotonic()
    needs = _needs(repository, points)
    suspects = sorted({key for need in needs.values() for key in need.suspects})
    trusting = Trusting.of(repository, points)
    first = within(trusting.packs(needs), repository.indexes().listed, AT_ONCE)
    reading = read_packs(repository, [*first, *(key for key in suspects if key not in set(first))], progress)
    with reading.unrecorded.noting():
        trusting.settle(reading.sound, needs)
    run = cycle.run(progress, budget=budget)
    reading = reading.joined(run.reading)
    wrong = _disowned(repository, reading)
    duration = clock.monotonic() - started
    result = _result(repository, points, needs, reading, unreadable, duration, run.status, wrong=wrong)
    _record(repository, result, clock, whole=False)
    return result


def _needs(repository: Repository, points: Sequence[RecoveryPoint]) -> dict[str, Needs]:
    repository.indexes(fresh=True)
    return {point.id: needs_of(repository, point) for point in points}


def _result(
    repository: Repository,
    points: Sequence[RecoveryPoint],
    needs: dict[str, Needs],
    reading: PacksRead,
    unreadable: Sequence[str],
    duration_s: float,
    rotation: ReadStatus | None = None,
    *,
    wrong: Mapping[PackKey, str],
    notes: Sequence[str] = (),
) -> VerifyResult:
    known = rotation.damaged if rotation else ()
    damaged = {key: reading.damaged.get(key) or f"The pack {key} is damaged." for key in known}
    shut = needed_but_closed(repository, [key for key, table in reading.sound.items() if not table])
    findings = _findings(needs, {**damaged, **reading.damaged, **reading.gone, **wrong, **shut})
    needed = {key for need in needs.values() for key in need.packs}
    closed = [text for text in [closed_to_this_host(repository, needed)] if text]
    tombstones = doubted_tombstones(repository, points, needs)
    others = [wrong[key] for key in sorted(wrong.keys() - needed)]
    for text in (*unreadable, *_breaks(repository, points), *closed, *tombstones.forged, *others):
        findings.setdefault("", []).append(text)
    return VerifyResult(
        points=tuple(points),
        packs_needed=len(needed),
        packs_read=reading.packs,
        bytes_read=reading.size,
        duration_s=round(duration_s, 3),
        findings=findings,
        packs_not_decoded=reading.not_decoded,
        rotation=rotation,
        unrecorded=reading.unrecorded,
        notes=(*tombstones.late, *notes),
    )


def _findings(needs: dict[str, Needs], damaged: Mapping[PackKey, str]) -> dict[str, list[str]]:
    found = {}
    for point, need in needs.items():
        texts = [*need.findings, *(damaged[key] for key in sorted(need.packs & damaged.keys()))]
        if texts:
            found[point] = texts
    return found


def _record(repository: Repository, result: VerifyResult, clock: Clock, *, whole: bool) -> None:
    """A verdict that saw damage is always worth recording; a good one only when nothing was left out."""
    for point in result.points:
        findings = result.findings.get(point.id, [])
        if whole or findings:
            detail: dict[str, Json] = {"findings": list(findings[:20]), "packs_read": result.packs_read}
            if result.packs_not_decoded:
                detail["packs_not_decoded"] = result.packs_not_decoded
            proof = Proof(point.id, ProofMethod.VERIFY, not findings, clock.now(), result.duration_s, detail)
            with result.unrecorded.noting():
                repository.proofs.record(proof, point)
