"""Which recovery points stay, and forgetting the others: their manifests are deleted here, and prune deletes their
packs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from backup_platform.actions.forget.proven import newest_proven
from backup_platform.actions.forget.records import delete_void_records, restore_records
from backup_platform.clock import SILENT
from backup_platform.domain.keep.holds import Hold
from backup_platform.domain.keep.retention import Candidate, Decision, SourceRules, decide
from backup_platform.domain.model import Proof, RecoveryPoint
from backup_platform.domain.ports import Clock, Progress
from backup_platform.domain.windows.form import gives, stored_late, strange_form
from backup_platform.errors import StoreLockedError, StoreRefusedError
from backup_platform.repository.objects.store_clock import store_now
from backup_platform.repository.records.forgotten import ForgottenPoint, record_forgotten
from backup_platform.repository.records.holds import read_holds
from backup_platform.repository.records.tombstones import Look
from backup_platform.repository.repository import Repository


class Judged(NamedTuple):
    """A recovery point, and whether it stays."""

    point: RecoveryPoint
    decision: Decision


@dataclass(frozen=True, slots=True)
class ForgetPlan:
    """Every point that was looked at. `blocked` says by source why none of its points is forgotten."""

    judged: tuple[Judged, ...]
    blocked: Mapping[str, str] = field(default_factory=dict)

    @property
    def forget(self) -> tuple[Judged, ...]:
        """The points to forget, by source, oldest first."""
        return tuple(each for each in self.judged if not each.decision.keep)

    @property
    def staying(self) -> set[str]:
        """Ids of the points that stay."""
        return {each.point.id for each in self.judged if each.decision.keep}

    @property
    def kept(self) -> int:
        return len(self.judged) - len(self.forget)


@dataclass(frozen=True, slots=True)
class ForgetSummary:
    """The result of a plan. `kept` are points that stay after all. `locked` are points that the store does not delete
    while it retains them. `refused` are points that it does not delete for another reason, each with the reason.
    `blocked` is that of the plan."""

    forgotten: tuple[ForgottenPoint, ...]
    kept: tuple[tuple[RecoveryPoint, str], ...] = ()
    refused: tuple[tuple[RecoveryPoint, str], ...] = ()
    blocked: Mapping[str, str] = field(default_factory=dict)
    locked: tuple[tuple[RecoveryPoint, str], ...] = ()

    @property
    def points_by_source(self) -> dict[str, int]:
        """How many points of each source were forgotten."""
        return dict(Counter(point.source for point in self.forgotten))


@dataclass(slots=True)
class _Result:
    deleted: list[tuple[RecoveryPoint, ForgottenPoint]] = field(default_factory=list)
    forgotten: list[ForgottenPoint] = field(default_factory=list)
    kept: list[tuple[RecoveryPoint, str]] = field(default_factory=list)
    refused: list[tuple[RecoveryPoint, str]] = field(default_factory=list)
    locked: list[tuple[RecoveryPoint, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Ledger:
    """What one pass over the sources goes by. `now` is the store's clock."""

    now: datetime
    proofs: Mapping[str, list[Proof]]
    holds: Mapping[str, list[Hold]]

    def held(self, point: str) -> str:
        return _held(self.holds, point, self.now)


def _held(holds: Mapping[str, list[Hold]], point: str, now: datetime) -> str:
    return "; ".join(str(hold) for hold in holds.get(point, ()) if hold.in_force(now))


@dataclass(frozen=True, slots=True)
class Retention:
    """Retention of one repository. `rules` are by source; without rules everything of a source is kept. Reads inside
    `evidence` come from the store itself. Inside `lending`, a full disk provides the space that was reserved for this
    work."""

    repository: Repository
    rules: Mapping[str, SourceRules]
    clock: Clock
    evidence: Callable[[], AbstractContextManager[None]] = nullcontext
    lending: Callable[[], AbstractContextManager[None]] = nullcontext

    def decisions(self, source: str) -> list[Judged]:
        """Every point of a source with its decision, oldest sequence first. Changes nothing. While a manifest of the
        source is damaged, all its points stay, and the reasons say so."""
        with self.evidence(), self.lending():
            return self._decisions(source, self._ledger(), reread=True)[0]

    def plan_forget(self, sources: Sequence[str] = ()) -> ForgetPlan:
        """What `run_forget` would do for some sources, or for all that have points. Changes nothing."""
        judged, blocked = list[Judged](), dict[str, str]()
        with self.evidence(), self.lending():
            ledger, named = self._ledger(), bool(sources)
            for source in sources if named else self._sources():
                decided, damage = self._decisions(source, ledger, reread=named)
                judged += decided
                if damage:
                    blocked[source] = damage
        return ForgetPlan(tuple(judged), blocked)

    def run_forget(self, plan: ForgetPlan, progress: Progress = SILENT) -> ForgetSummary:
        """Forget the points of the plan that would still be forgotten now. Raises StoreError, DamageError; what was
        done before the error is recorded."""
        progress.begin("", "recovery point")
        progress.expect(items=len(plan.forget))
        result = _Result()
        with self.evidence(), self.lending():
            for source, group in groupby(plan.forget, key=lambda each: each.point.source):
                self._forget_of(source, list(group), result, progress)
            delete_void_records(self.repository, plan.staying)
        return ForgetSummary(
            tuple(result.forgotten),
            tuple(result.kept),
            tuple(result.refused),
            plan.blocked,
            tuple(result.locked),
        )

    def _forget_of(self, source: str, planned: Sequence[Judged], result: _Result, progress: Progress) -> None:
        ledger = self._ledger()
        decided, _ = self._decisions(source, ledger, reread=False)
        current = {each.point.id: each for each in decided}
        for each in planned:
            if again := current.get(each.point.id):  # else somebody else forgot it
                self._forget(again, ledger.now, result)
            progress.advance(items=1)
        self._settle(source, result)

    def _forget(self, judged: Judged, now: datetime, result: _Result) -> None:
        """The record first, then a last look for holds, then the manifest: see `Holds.place`."""
        point, reason = judged.point, "; ".join(judged.decision.reasons)
        if judged.decision.keep:
            result.kept.append((point, reason))
            return
        look = Look.now(self.clock)
        record = record_forgotten(self.repository.objects, point, reason, self.clock.now())
        if held := _held(read_holds(self.repository.objects, point.id), point.id, now):
            result.kept.append((point, f"held: {held}"))
            return
        if not look.recent:
            result.kept.append(
                (
                    point,
                    "this host was paused for too long, and a hold may have been placed: run forget again",
                )
            )
            return
        try:
            self.repository.points.delete(point)
        except StoreLockedError as error:
            result.locked.append((point, error.message))
            return
        except StoreRefusedError as error:
            result.refused.append((point, error.message))
            return
        result.deleted.append((point, record))

    def _settle(self, source: str, result: _Result) -> None:
        """What was deleted is gone when it is not listed any more."""
        if not result.deleted:
            return
        restore_records(self.repository, source, [record for _, record in result.deleted])
        listed = self.repository.points.stored(source)
        for point, record in result.deleted:
            if self.repository.points.key(point) in listed:
                result.refused.append((point, "the store reported the deletion, but still lists the object"))
            else:
                result.forgotten.append(record)
        result.deleted.clear()

    def _ledger(self) -> _Ledger:
        # The clock first: what is listed after it was stored at a time that the clock may not have reached.
        return _Ledger(
            store_now(self.repository.store),
            self.repository.proofs.by_point(),
            read_holds(self.repository.objects),
        )

    def _sources(self) -> list[str]:
        """Of the plan and of the repository, whose manifests are read anew."""
        points, _ = self.repository.points.readable(reread=True)
        return sorted({*self.rules, *(point.source for point in points)})

    def _decisions(self, source: str, ledger: _Ledger, *, reread: bool) -> tuple[list[Judged], str]:
        """And what is wrong with a manifest of the source, empty when nothing is."""
        rules = self.rules.get(source, SourceRules())
        points, damaged = self.repository.points.readable(source, reread=reread)
        if damaged:
            kept = ("nothing is forgotten while a manifest of the source is damaged",)
            return [Judged(point, Decision(point.id, True, kept)) for point in points], damaged[0].message
        candidates = self._candidates(source, points, rules, ledger)
        decisions = decide(rules.keep, candidates, ledger.now, rules.timezone)
        return list(map(Judged, points, decisions)), ""

    def _candidates(
        self, source: str, points: Sequence[RecoveryPoint], rules: SourceRules, ledger: _Ledger
    ) -> list[Candidate]:
        stored = self.repository.points.stored(source)
        made = [
            self._candidate(point, stored.get(self.repository.points.key(point), ledger.now), rules, ledger)
            for point in points
        ]
        if rules.keep is None:
            return made
        wanted = max(1, rules.keep.min_proven)
        proven = newest_proven(self.repository, _trusted(points, made, ledger.now), ledger.proofs, wanted)
        return [
            replace(
                each,
                proven=each.id in proven.proven,
                verified=each.id in proven.verified,
                doubt=proven.doubts.get(each.id, ""),
            )
            for each in made
        ]

    def _candidate(
        self, point: RecoveryPoint, stored_at: datetime, rules: SourceRules, ledger: _Ledger
    ) -> Candidate:
        window = point.window
        planned = rules.schedule is not None and gives(rules.schedule, window)
        return Candidate(
            id=point.id,
            sequence=point.sequence,
            window=f"{window.key} {window.start.isoformat()}",  # a key alone is whatever its writer says
            start=window.start,
            stored_at=stored_at,
            complete=not point.incomplete,
            held=ledger.held(point.id),
            late=stored_late(window, stored_at, rules.patience, planned=planned),
            suspect=point.is_suspect,
            foreign=rules.schedule is not None and not planned,
            strange=strange_form(window, point.timezone),
        )


def _trusted(
    points: Sequence[RecoveryPoint], candidates: Sequence[Candidate], now: datetime
) -> list[RecoveryPoint]:
    """The points whose proofs count, the newest first. Then the points whose windows are not in the plan's
    schedule, and last the late points, because both may be forged."""
    found = [
        ((not each.late, not each.foreign), each.start, each.sequence, point)
        for point, each in zip(points, candidates, strict=True)
        if each.complete and not each.suspect and each.counts(now)
    ]
    return [point for *_, point in sorted(found, key=lambda each: each[:3], reverse=True)]
