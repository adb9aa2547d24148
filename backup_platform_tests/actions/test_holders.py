"""Where two packs are said to hold a blob, whoever reads, copies or repairs ends with the one that does."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from backup_platform.actions.copy.run import Copying
from backup_platform.actions.drill import FileSandbox, drill
from backup_platform.actions.repair.run import Repair
from backup_platform.actions.restore.run import plan_restore, run_restore
from backup_platform.domain.ports import DrillReport
from backup_platform.repository.encryption.key_files import Keys
from backup_platform.repository.objects.names import PACKS
from backup_platform.repository.replicas import init_replica
from backup_platform.repository.repository import Repository
from backup_platform_tests.faults.hostile import Writer
from backup_platform_tests.faults.memory import MemoryStore
from backup_platform_tests.faults.scene import Scene
from backup_platform_tests.support import QuietProgress, noise, writer_keys

both = pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])


def made(*, encrypted: bool) -> Scene:
    scene = Scene.make(encrypted=encrypted)
    scene.source.write(b"own", noise(30_000, 1))
    scene.backup()
    return scene


def closed(scene: Scene, store: MemoryStore) -> Repository:
    """As a host without an identity opens it."""
    encrypted = scene.open().cipher.name != "none"
    return Repository(store, scene.clock, keys=writer_keys() if encrypted else Keys())


def poisoned(scene: Scene, store: MemoryStore) -> str:
    """A pack of garbage is said to hold all contents, and the good ones are said to be damaged; its key."""
    writer = Writer(closed(scene, store), random.Random(1))
    good = {key: pack for key, pack in writer.known().items() if key.startswith(PACKS)}
    for key in good:
        writer.repository.marks.mark(key, "made up")
    blobs = [(row["blob"].tobytes(), int(row["length"])) for pack in good.values() for row in pack.rows]
    writer.store_garbage(sorted(blobs), meta=False)
    (garbage,) = store.keys("packs/") - good.keys()
    return garbage


@both
def test_a_restore_and_a_drill_take_blobs_from_where_they_are_and_say_so(
    encrypted: bool, tmp_path: Path
) -> None:
    scene = made(encrypted=encrypted)
    garbage = poisoned(scene, scene.store)
    repository = scene.open()
    (point,) = repository.points.all()
    summary = run_restore(
        plan_restore(repository.reader(point), point, to=str(tmp_path / "to")),
        repository,
        scene.clock,
        QuietProgress(),
    )
    assert (tmp_path / "to" / "own").read_bytes() == noise(30_000, 1)
    assert not summary.failures
    assert any(text.startswith(garbage) for text in summary.warnings)

    class Unpacks:
        def drill(self, point: object, reader: object, sandbox: FileSandbox, progress: object) -> DrillReport:
            sandbox.unpack()
            return DrillReport({}, ())

    result = drill(repository, Unpacks(), point, scene.clock, QuietProgress())  # type: ignore[arg-type]
    assert result.proof.passed
    assert garbage in str(result.proof.detail["warnings"])


def test_a_length_that_an_index_made_up_is_not_believed() -> None:
    scene = made(encrypted=False)
    writer = Writer(closed(scene, scene.store), random.Random(1))
    for key, pack in writer.known().items():
        if key.startswith(PACKS):
            rows = pack.rows.copy()
            rows["length"] += 1
            writer.index([replace(pack, rows=rows)])
    repository = scene.open()
    (point,) = repository.points.all()
    reader = repository.reader(point)
    sizes = {entry.stat.path: reader.size(entry.content) for entry in reader.entries()}
    files = scene.source.files
    assert {path: sizes[path] for path in files} == {path: len(data) for path, data in files.items()}


@both
def test_a_copy_brings_the_pack_that_holds_the_blobs(encrypted: bool) -> None:
    scene = made(encrypted=encrypted)
    poisoned(scene, scene.store)
    init_replica(scene.open(), scene.second)
    copying = Copying(closed(scene, scene.store), closed(scene, scene.second), scene.clock)
    copying.run(copying.plan(copying.origin.points.all())).require()
    scene.assert_restorable(scene.second)


@both
def test_a_repair_brings_the_pack_that_holds_the_blobs(encrypted: bool) -> None:
    scene = made(encrypted=encrypted)
    init_replica(scene.open(), scene.second)
    copying = Copying(closed(scene, scene.store), closed(scene, scene.second), scene.clock)
    copying.run(copying.plan(copying.origin.points.all())).require()
    writer = Writer(closed(scene, scene.second), random.Random(1))
    blobs = [
        (row["blob"].tobytes(), int(row["length"]))
        for key, pack in writer.known().items()
        if key.startswith(PACKS)
        for row in pack.rows
    ]
    for key in scene.store.keys("packs/"):
        scene.store.delete(key)
    writer.store_garbage(sorted(blobs), meta=False)
    repair = Repair(
        closed(scene, scene.store), {"copy": closed(scene, scene.second)}, scene.clock, complete=True
    )
    repair.run(repair.plan())
    scene.assert_restorable()
