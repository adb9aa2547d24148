"""Copies beside a prune of the copy, at every call of its store, with a grace of zero."""

from __future__ import annotations

from functools import cache

import pytest

from backup_platform.actions.copy.run import Copying, CopyResult
from backup_platform.domain.ports import Store
from backup_platform.errors import RepositoryError
from backup_platform.repository.objects.names import MANIFESTS
from backup_platform.repository.replicas import init_replica
from backup_platform_tests.faults.scene import Files, Scene
from backup_platform_tests.faults.test_prune_races import REWRITING, Act, Between, prune
from backup_platform_tests.support import content_of

SAMPLED = 13  # every n-th call; all of them in the soak run


@cache
def prepared(encrypted: bool) -> Scene:
    """Three points. The copy has the first, and from the second, whose copying was undone, packs that nobody needs."""
    scene = Scene.make(encrypted=encrypted)
    scene.backup()
    scene.change(5)
    scene.backup()
    init_replica(scene.open(), scene.second)
    copy(scene)
    scene.second.delete(max(scene.second.keys(MANIFESTS)))
    scene.change(6)
    scene.backup()
    return scene


def copy(scene: Scene, store: Store | None = None) -> CopyResult:
    copying = Copying(scene.open(), scene.open(store or scene.second), scene.clock)
    return copying.run(copying.plan(copying.origin.points.all()))


def prunes(count: int, hours: int) -> Act:
    """Of the copy. With two hours before each, final tombstones may go; within no time they stay."""

    def act(scene: Scene) -> None:
        for _ in range(count):
            scene.clock.advance(hours=hours)
            prune(scene, scene.second, REWRITING)

    return act


def calls(encrypted: bool) -> int:
    scene = prepared(encrypted).copied()
    store = Between(scene.second)
    assert copy(scene, store).passed
    return store.calls


def copy_beside(number: int, act: Act, encrypted: bool) -> None:
    """What a copy says that it brought is there, whatever prune did before its n-th call; and it ends by being all."""
    scene = prepared(encrypted).copied()
    result = disturbed(scene, Between(scene.second, number, lambda: act(scene)))
    if result is not None:
        assert result.findings.keys() <= result.waiting, result.findings
        if result.passed:
            prunes(3, 2)(scene)
        restorable(scene, {point.id: scene.expected[point.id] for point in result.copied})
    for _ in range(3):
        if copy(scene).passed:
            break
        scene.clock.advance(hours=2)
    prunes(3, 2)(scene)
    restorable(scene, scene.expected)


def disturbed(scene: Scene, store: Store) -> CopyResult | None:
    try:
        return copy(scene, store)
    except RepositoryError as error:
        failure = error
    assert failure.retryable, failure
    return None


def restorable(scene: Scene, expected: dict[str, Files]) -> None:
    repository = scene.open(scene.second)
    points = {point.id: point for point in repository.points.all()}
    for point, content in expected.items():
        assert content_of(repository, points[point]) == content


ACTS = {"once": prunes(1, 2), "twice at once": prunes(2, 0), "three times": prunes(3, 2)}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("encrypted", [False, True])
def test_a_copy_beside_a_prune(act: str, encrypted: bool) -> None:
    for number in range(1 + len(act) % SAMPLED, calls(encrypted) + 1, SAMPLED):
        copy_beside(number, ACTS[act], encrypted)


@pytest.mark.soak
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("encrypted", [False, True])
def test_a_copy_beside_a_prune_at_every_call(act: str, encrypted: bool) -> None:
    for number in range(1, calls(encrypted) + 1):
        copy_beside(number, ACTS[act], encrypted)
