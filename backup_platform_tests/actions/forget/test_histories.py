"""Random histories: backups, proofs, holds, rules, crashes, a client whose clock is anywhere. What must stay stays."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count

from hypothesis import example, given, settings
from hypothesis import strategies as st

from backup_platform.actions.forget.lost import Losses, find_losses
from backup_platform.actions.forget.run import Retention
from backup_platform.actions.points.holds import Holds
from backup_platform.domain.keep.retention import KeepRules, SourceRules
from backup_platform.domain.model import (
    EMPTY,
    Proof,
    ProofMethod,
    RecoveryPoint,
    Stats,
    StreamRef,
    Window,
)
from backup_platform.domain.ports import Store
from backup_platform.domain.trust.standing import State, standing
from backup_platform.errors import NotFoundError, RepositoryError, UsageError
from backup_platform.repository.creating import init_repository
from backup_platform.repository.points.chains import chain_breaks, chain_gaps, forgotten_links
from backup_platform.repository.repository import Repository
from backup_platform_tests.faults.memory import MemoryStore
from backup_platform_tests.support import Call, Do, Killed, ManualClock, ScriptedStore

HOUR = timedelta(hours=1)


@dataclass
class History:
    """`clock` is the store's; the client's is `ahead` of it."""

    ahead: timedelta
    clock: ManualClock = field(default_factory=ManualClock)
    points: list[RecoveryPoint] = field(default_factory=list)
    proofs: list[Proof] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = MemoryStore(self.clock)
        init_repository(self.store, self.clock)

    def client(self) -> ManualClock:
        return ManualClock(self.clock.now() + self.ahead)

    def open(self, store: Store | None = None) -> Repository:
        return Repository(store or self.store, self.client())

    def backup(self, hours: int, incomplete: bool) -> None:
        self.clock.advance(hours=hours, minutes=1)
        start = self.clock.now().replace(minute=0, second=0, microsecond=0)
        before = self.points[-1] if self.points else None
        point = RecoveryPoint(
            "", len(self.points) + 1, before.id if before else "", "shop", "files",
            Window(start.isoformat(), start, start + HOUR), "UTC", start, start, 0.0, incomplete, 0, (), {},
            Stats(), StreamRef(0, EMPTY), {},
        )  # fmt: skip
        self.points.append(self.open().points.commit(point))

    def prove(self, number: int, method: ProofMethod, passed: bool) -> None:
        if self.points:
            self.clock.advance(minutes=1)
            point = self.points[-1 - number % len(self.points)]
            self.proofs.append(Proof(point.id, method, passed, self.clock.now(), 0.0))
            self.open().proofs.record(self.proofs[-1], point)

    def hold(self, number: int, hours: int) -> None:
        until = (self.clock.now() + hours * HOUR).isoformat() if hours else ""
        with suppress(NotFoundError, UsageError, RepositoryError):
            Holds(self.open(), self.client()).place(self._spec(number), "case", until=until)

    def release(self, number: int) -> None:
        with suppress(NotFoundError, UsageError):
            Holds(self.open(), self.client()).release(self._spec(number), "done")

    def _spec(self, number: int) -> str:
        return self.points[-1 - number % len(self.points)].id if self.points else "shop@latest"

    def forget(self, rules: KeepRules, breaks_at: int) -> None:
        must, writes = self._must_stay(), count(1)

        def script(call: Call) -> Do | None:
            written = call.verb in ("create", "delete")
            return Do.DIE_AFTER if written and next(writes) == breaks_at else None

        with suppress(Killed, RepositoryError):
            store = ScriptedStore(self.store, script)
            retention = Retention(self.open(store), {"shop": SourceRules(rules)}, self.client())
            retention.run_forget(retention.plan_forget())
        assert must <= {point.id for point in self.open().points.all()}

    def _must_stay(self) -> set[str]:
        """By the whole history, also of points that are gone: none of these was ever forgotten."""
        complete = [point for point in self.points if not point.incomplete]
        here = {point.id for point in self.open().points.all()}
        proven = [point for point in complete if point.id in here and self._proven(point)]
        stay = [*self.points[-1:], *complete[-1:], *proven[-1:]]
        return {point.id for point in stay} | Holds(self.open(), self.client()).in_force().keys() & here

    def _proven(self, point: RecoveryPoint) -> bool:
        return standing(point, [p for p in self.proofs if p.point == point.id]).state is State.PROVEN

    def check(self) -> None:
        """What is gone is recorded, and the chain holds."""
        repository = self.open()
        here = repository.points.all()
        links = forgotten_links(repository.objects, "shop")
        assert {p.id for p in self.points} - {p.id for p in here} <= {link.id for link in links}
        assert chain_breaks(here, links) + chain_gaps(here, links) == []
        assert find_losses(repository, here, (), complete=True) == Losses()

    def check_loss(self) -> None:
        """Whatever was forgotten: who takes the newest points away is noticed by those that were proven."""
        here = self.open().points.all()
        for point in here[-2:]:
            self.open().points.delete(point)
        left, known = here[:-2], {proof.point for proof in self.proofs}
        found = find_losses(self.open(), left, (), complete=True)
        assert {each.point for each in found.subjects} == {p.id for p in here[-2:]} & known


counts = st.integers(0, 3)
numbers = st.integers(0, 4)
rule_sets = st.builds(
    KeepRules,
    hourly=counts,
    daily=counts,
    last=counts,
    min_points=st.integers(1, 2),
    min_proven=st.integers(1, 2),
)
steps = st.one_of(
    st.tuples(st.just("backup"), st.integers(0, 30), st.sampled_from([False, False, True])),
    st.tuples(st.just("backup"), st.integers(0, 30), st.just(False)),
    st.tuples(st.just("prove"), numbers, st.sampled_from(ProofMethod), st.sampled_from([True, True, False])),
    st.tuples(st.just("hold"), numbers, st.integers(0, 60)),
    st.tuples(st.just("release"), numbers),
    st.tuples(st.just("forget"), rule_sets, st.integers(1, 15)),
)


STAYED_AFTER_ITS_RECORD = [
    ("backup", 0, False),
    ("backup", 0, False),
    ("backup", 0, False),
    ("backup", 0, False),
    ("backup", 0, False),
    ("backup", 0, False),
    ("backup", 0, False),
    ("backup", 0, False),
    ("backup", 0, False),
    ("backup", 0, False),
    ("backup", 0, False),
    ("backup", 4, False),
    ("prove", 0, ProofMethod.VERIFY, True),
    ("hold", 0, 0),
    ("forget", KeepRules(hourly=0, daily=0, last=0, min_points=1, min_proven=1), 10),
    ("backup", 0, False),
    ("backup", 1, False),
    ("prove", 0, ProofMethod.VERIFY, True),
    ("forget", KeepRules(hourly=0, daily=0, last=0, min_points=1, min_proven=1), 13),
    ("backup", 0, False),
    ("backup", 0, False),
    ("release", 0),
    ("release", 0),
    ("backup", 0, False),
    ("hold", 4, 0),
    ("prove", 0, ProofMethod.VERIFY, True),
    ("prove", 0, ProofMethod.VERIFY, False),
    ("forget", KeepRules(hourly=0, daily=0, last=0, min_points=1, min_proven=1), 10),
    ("forget", KeepRules(hourly=0, daily=0, last=0, min_points=1, min_proven=1), 7),
    ("prove", 2, ProofMethod.VERIFY, True),
]


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, min_size=15, max_size=40), st.sampled_from([0, -3, 1000]))
@example(STAYED_AFTER_ITS_RECORD, 0)
def test_what_must_stay_stays(history: list[tuple[str, ...]], days_ahead: int) -> None:
    world = History(timedelta(days=days_ahead))
    for name, *arguments in history:
        getattr(world, name)(*arguments)
    world.clock.advance(hours=2)  # a younger record may belong to a forget that is under way
    world.forget(KeepRules(last=1), breaks_at=0)
    world.check()
    world.check_loss()
