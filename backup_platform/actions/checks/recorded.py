"""What a repository tells of the checks of its points without reading their contents: manifests, chains and the
ledger. It judges thousands of points, where `checks.points` judges one and reads what it needs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from backup_platform.actions.checks.points import complete, drill_recorded, plausible
from backup_platform.actions.checks.table import AUTHENTIC, STORED
from backup_platform.domain.checks import CheckResult, KindCheck
from backup_platform.domain.model import Json, Proof, ProofMethod, RecoveryPoint
from backup_platform.domain.trust.suspicion import HISTORY
from backup_platform.domain.words import how_many, with_others
from backup_platform.errors import DamageError
from backup_platform.repository.points.chains import broken_places, forgotten_links
from backup_platform.repository.repository import Repository

LOOKED_AT = 3 * HISTORY  # places of the chain before a point: not each of them is an accepted point


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a check, and since when it is known."""

    result: CheckResult
    at: datetime


@dataclass(frozen=True)
class RecordedChecks:
    """The verdicts about the points of one source in one repository. `history` are all its readable points in the
    order of the chain, `proofs` by point id, `whole` says that every place of the chain must be filled, and `now` is
    when its manifests were read."""

    repository: Repository
    source: str
    history: Sequence[RecoveryPoint]
    proofs: Mapping[str, Sequence[Proof]]
    now: datetime
    whole: bool

    def of(self, point: RecoveryPoint, own: Sequence[KindCheck] = ()) -> Iterator[Verdict]:
        """Every verdict that is known. `own` are the checks of the point's kind."""
        yield from self.of_copy(point)
        yield Verdict(complete(point), point.committed_at)
        before = self._before(point)
        judged = plausible(before, point)
        yield Verdict(judged, self.now if point.accepted else point.committed_at)
        for check in own:
            yield Verdict(check.judge(before, point), point.committed_at)
        if drill := self._latest(point, ProofMethod.DRILL):
            yield Verdict(drill_recorded(drill), drill.at)

    def of_copy(self, point: RecoveryPoint) -> Iterator[Verdict]:
        """Those that a copy of a point has."""
        if proof := self._latest(point, ProofMethod.VERIFY):
            yield Verdict(self._stored(point, proof), proof.at)
        yield Verdict(self._authentic(point), self.now)

    def _latest(self, point: RecoveryPoint, method: ProofMethod) -> Proof | None:
        found = [proof for proof in self.proofs.get(point.id, ()) if proof.method is method]
        return found[-1] if found else None

    def _before(self, point: RecoveryPoint) -> Sequence[RecoveryPoint]:
        end = bisect_right(self.history, point.sequence, key=lambda each: each.sequence)
        return self.history[max(0, end - LOOKED_AT) : end]

    def _stored(self, point: RecoveryPoint, proof: Proof) -> CheckResult:
        when = f"{proof.at:%Y-%m-%d %H:%M} UTC"
        if proof.passed:
            text = f"every pack was read back at {when}, and was sound"
        else:
            text = with_others(self._findings(point, proof)) or f"damage was found at {when}"
        metadata: dict[str, Json] = {"verified_at": proof.at.isoformat()}
        return STORED.result(proof.passed, text, metadata)

    def _findings(self, point: RecoveryPoint, proof: Proof) -> list[str]:
        """What the proof found; nothing where its record cannot be read."""
        try:
            details = self.repository.proofs.details(point.id)
        except DamageError:
            return []
        found = [each.detail.get("findings") for each in details if each.at == proof.at and not each.passed]
        return [str(text) for texts in found if isinstance(texts, list) for text in texts]

    def _authentic(self, point: RecoveryPoint) -> CheckResult:
        texts = [text for sequence, text in self._broken if sequence <= point.sequence]
        metadata: dict[str, Json] = {"chain_length": len(self.history)}
        good = f"manifest and a chain of {how_many(len(self.history), 'point')} hold"
        return AUTHENTIC.result(not texts, with_others(texts) or good, metadata)

    @cached_property
    def _broken(self) -> list[tuple[int, str]]:
        links = forgotten_links(self.repository.objects, self.source)
        return broken_places(self.history, links, whole=self.whole)
