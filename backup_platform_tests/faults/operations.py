"""What the program does with a store, each as something to break: `run` meets the fault, `converge` comes after."""

from __future__ import annotations

import shutil
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from backup_platform.actions.copy.run import Copying
from backup_platform.actions.forget.run import Retention
from backup_platform.actions.points.find import find_point
from backup_platform.actions.points.holds import Holds
from backup_platform.actions.prune.plan import PruneSettings
from backup_platform.actions.prune.run import Pruning
from backup_platform.actions.repair.run import Repair as Repairing
from backup_platform.actions.restore.run import plan_restore, run_restore
from backup_platform.actions.verify.read_cycle import CYCLE, ReadCycle
from backup_platform.domain.keep.retention import KeepRules, SourceRules
from backup_platform.domain.model import RecoveryPoint
from backup_platform.domain.ports import Store
from backup_platform.repository.deletion.survey import survey
from backup_platform.repository.records.proofs import recorded
from backup_platform.repository.replicas import init_replica
from backup_platform_tests.faults.memory import MemoryStore
from backup_platform_tests.faults.scene import Files, Scene
from backup_platform_tests.faults.store import flipped
from backup_platform_tests.scratch import scratch
from backup_platform_tests.support import QuietProgress, content_of


class Operation(Protocol):
    """Raises what the program raises, and AssertionError when a run that says it succeeded did not."""

    def prepare(self, scene: Scene) -> None:
        """Once, before the fault; the scene has two points by then, and a source that has changed since."""
        ...

    def breaks(self, scene: Scene) -> MemoryStore:
        """The store that the fault is in."""
        ...

    def run(self, scene: Scene, store: Store) -> None: ...

    def converge(self, scene: Scene) -> None:
        """The same again without a fault: everything is as if there had been none."""
        ...


class OfTheStore:
    """What breaks is the store of the repository itself."""

    def breaks(self, scene: Scene) -> MemoryStore:
        return scene.store


class Backup(OfTheStore):
    def prepare(self, scene: Scene) -> None:
        """There is a point to build on already."""

    def run(self, scene: Scene, store: Store) -> None:
        point = scene.backup(store)
        assert point.id in {each.id for each in scene.open().points.readable()[0]}
        scene.assert_restorable()

    def converge(self, scene: Scene) -> None:
        self.run(scene, scene.store)
        assert scene.verify().findings.keys() <= {""}  # a damaged manifest stays where it is


class Verify(OfTheStore):
    """Of a sound repository, or of one with a damaged pack, which no fault may hide."""

    def __init__(self, *, broken: bool) -> None:
        self.broken = broken

    def prepare(self, scene: Scene) -> None:
        if self.broken:  # the pack that both points need
            key = min(scene.store.keys("packs/"), key=lambda key: scene.store.head(key).modified)
            scene.store.alter(key, flipped(scene.store.get(key), 50))  # not the bit that the store flips

    def run(self, scene: Scene, store: Store) -> None:
        assert not (recorded(scene.verify(store)).passed and self.broken)

    def converge(self, scene: Scene) -> None:
        assert scene.verify().passed is not self.broken
        assert self.broken or not scene.store.keys("ledger/damaged/")


class Restore(OfTheStore):
    """Of the newest point, by its id, into a directory; the second run finds what the first has left there."""

    def __init__(self) -> None:
        self._target = Path()

    def prepare(self, scene: Scene) -> None:
        self._target = Path(tempfile.mkdtemp(dir=scratch())) / "target"

    def run(self, scene: Scene, store: Store) -> None:
        shutil.rmtree(self._target, ignore_errors=True)
        self._restore(scene, store)

    def converge(self, scene: Scene) -> None:
        if not self._target.exists() or read_tree(self._target) != scene.expected[newest(scene)]:
            self._restore(scene, scene.store)
        shutil.rmtree(self._target)

    def _restore(self, scene: Scene, store: Store) -> None:
        repository = scene.open(store)
        point = find_point(repository, newest(scene))
        plan = plan_restore(repository.reader(point), point, to=str(self._target))
        run_restore(plan, repository, scene.clock, QuietProgress())
        assert read_tree(self._target) == scene.expected[point.id]


class Forget(OfTheStore):
    """Of five points, of which a rule keeps the last two, and a hold the first."""

    def prepare(self, scene: Scene) -> None:
        for seed in (4, 5, 6):
            scene.clock.advance(hours=1)
            scene.backup()
            scene.change(seed)
        assert scene.verify().passed
        first = next(iter(scene.expected))
        Holds(scene.open(), scene.clock).place(first, "the auditors come")
        scene.forgettable = {*list(scene.expected)[1:-2]}

    def run(self, scene: Scene, store: Store) -> None:
        retention = Retention(scene.open(store), {"docs": SourceRules(KeepRules(last=2))}, scene.clock)
        summary = retention.run_forget(retention.plan_forget())
        there = {point.id for point in scene.open().points.all()}
        assert not there & {each.point for each in summary.forgotten}

    def converge(self, scene: Scene) -> None:
        self.run(scene, scene.store)
        assert {point.id for point in scene.open().points.all()} == scene.expected.keys() - scene.forgettable
        assert scene.verify().passed


class ReadAll(OfTheStore):
    """Everything that is stored, as the cycle of a repository reads it."""

    def prepare(self, scene: Scene) -> None:
        scene.clock.advance(days=40)

    def run(self, scene: Scene, store: Store) -> None:
        result = ReadCycle(scene.open(store), CYCLE, scene.clock).run(QuietProgress())
        assert not result.status.overdue

    def converge(self, scene: Scene) -> None:
        assert scene.verify().passed  # takes back what a fault made it believe
        self.run(scene, scene.store)
        status = ReadCycle(scene.open(), CYCLE, scene.clock).status()
        assert (status.size_due, status.size_never, status.damaged) == (0, 0, ())


DAY = timedelta(days=1)


class Prune(OfTheStore):
    """Of a repository that has something for each of its steps: packs to condemn, doom, delete and rewrite."""

    def prepare(self, scene: Scene) -> None:
        first, second = scene.open().points.all()
        scene.forget(first)
        scene.clock.advance(days=2)
        prune(scene, scene.store)  # condemns what only the first needed
        scene.backup()
        scene.clock.advance(days=2)
        scene.forget(second)
        scene.change(4)
        scene.backup()

    def run(self, scene: Scene, store: Store) -> None:
        prune(scene, store)

    def converge(self, scene: Scene) -> None:
        for _ in range(4):
            prune(scene, scene.store)
            scene.assert_restorable()
            scene.clock.advance(days=2)
        left = survey(scene.open())
        assert left.packs.keys() == left.needed
        assert not left.tombstones.readable
        assert scene.verify().passed


def prune(scene: Scene, store: Store) -> None:
    pruning = Pruning(scene.open(store), PruneSettings(DAY, max_waste=0), scene.clock)
    pruning.run(pruning.plan(), QuietProgress())


class Copy(OfTheStore):
    """To a repository that has the first point; `target`: that one breaks, and not the one which is copied."""

    def __init__(self, *, target: bool) -> None:
        self.target = target

    def breaks(self, scene: Scene) -> MemoryStore:
        return scene.second if self.target else scene.store

    def prepare(self, scene: Scene) -> None:
        init_replica(scene.open(), scene.second)
        self.copy(scene, scene.store, scene.second)
        scene.backup()
        scene.change(4)
        scene.backup()

    def run(self, scene: Scene, store: Store) -> None:
        stores = (scene.store, store) if self.target else (store, scene.second)
        copied = self.copy(scene, *stores)
        points = {point.id: point for point in scene.open(scene.second).points.readable()[0]}
        assert {point.id for point in copied} <= points.keys()
        for point in copied:
            assert content_of(scene.open(scene.second), point) == scene.expected[point.id]

    def copy(self, scene: Scene, origin: Store, target: Store) -> tuple[RecoveryPoint, ...]:
        copying = Copying(scene.open(origin), scene.open(target), scene.clock)
        result = copying.run(copying.plan(copying.origin.points.all()))
        result.require()
        return result.copied + result.kept

    def converge(self, scene: Scene) -> None:
        assert scene.verify().passed  # takes back what a fault made it believe of the origin
        if scene.open(scene.second).points.readable()[1]:
            self._repair(scene)
        self.copy(scene, scene.store, scene.second)
        scene.assert_restorable(scene.second)
        assert scene.verify(scene.second).passed

    def _repair(self, scene: Scene) -> None:
        """A manifest that was altered on its way stays, because copying only adds."""
        origin = {"origin": scene.open()}
        repair = Repairing(scene.open(scene.second), origin, scene.clock, complete=False)
        repair.run(repair.plan())


class Repair(OfTheStore):
    """Of a repository that lost a pack and an index, and has a damaged pack and a damaged manifest, from its copy."""

    def prepare(self, scene: Scene) -> None:
        Copy(target=False).prepare(scene)
        Copy(target=False).copy(scene, scene.store, scene.second)
        store, packs = scene.store, sorted(scene.store.keys("packs/"))
        store.delete(packs[0])
        store.delete(min(store.keys("indexes/")))
        for key in (packs[1], min(store.keys("meta/")), min(store.keys("manifests/"))):
            store.alter(key, flipped(store.get(key)))
        assert not scene.verify().passed

    def run(self, scene: Scene, store: Store) -> None:
        repair = Repairing(scene.open(store), {"second": scene.open(scene.second)}, scene.clock)
        repair.run(repair.plan())

    def converge(self, scene: Scene) -> None:
        for _ in range(2):  # the damage that only a verify finds needs one in between
            self.run(scene, scene.store)
            scene.verify()
        assert scene.verify().passed
        scene.assert_restorable()


def newest(scene: Scene) -> str:
    return next(reversed(scene.expected))


def read_tree(root: Path) -> Files:
    files = (path for path in root.rglob("*") if path.is_file())
    return {bytes(path.relative_to(root)): path.read_bytes() for path in files}


OPERATIONS: dict[str, Operation] = {
    "backup": Backup(),
    "verify": Verify(broken=False),
    "verify of damage": Verify(broken=True),
    "restore": Restore(),
    "forget": Forget(),
    "read all": ReadAll(),
    "prune": Prune(),
    "copy to": Copy(target=True),
    "copy from": Copy(target=False),
    "repair": Repair(),
}
