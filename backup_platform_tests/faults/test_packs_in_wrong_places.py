"""Packs that were duplicated, cut short or swapped in the store: found by a verify, healed by the next backup."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from backup_platform_tests.faults.memory import MemoryStore
from backup_platform_tests.faults.scene import Scene
from backup_platform_tests.support import content_of

Harm = Callable[[MemoryStore, str, str], None]


def swap(store: MemoryStore, one: str, other: str) -> None:
    first, second = bytes(store.get(one)), bytes(store.get(other))
    store.alter(one, second)
    store.alter(other, first)


def copy_over(store: MemoryStore, one: str, other: str) -> None:
    store.alter(other, bytes(store.get(one)))


def cut_short(store: MemoryStore, one: str, other: str) -> None:
    for key in (one, other):
        store.alter(key, bytes(store.get(key))[:-1])


def cut_to_nothing(store: MemoryStore, one: str, other: str) -> None:
    for key in (one, other):
        store.alter(key, b"")


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
@pytest.mark.parametrize("prefix", ["packs/", "meta/"])
@pytest.mark.parametrize("harm", [swap, copy_over, cut_short, cut_to_nothing])
def test_packs_in_wrong_places(harm: Harm, prefix: str, encrypted: bool) -> None:
    scene = Scene.make(encrypted=encrypted)
    scene.backup()
    scene.change(2)
    scene.backup()
    harm(scene.store, *sorted(scene.store.keys(prefix))[:2])
    assert not scene.verify().passed
    point = scene.backup()  # of the same content
    assert content_of(scene.open(), point) == scene.source.files
    findings = scene.verify().findings
    assert point.id not in findings


def test_a_pack_under_a_second_name_is_never_used() -> None:
    """The bytes are sound, and not those of the name: it proves nothing, and nothing is built on it."""
    scene = Scene.make(encrypted=False)
    scene.backup()
    key = min(scene.store.keys("packs/"))
    name = "00" * 32
    scene.store.create(f"packs/00/{name}", scene.store.get(key))
    assert scene.verify().passed
    scene.backup()
    scene.assert_restorable()
    assert not any(name in each for each in scene.open().marks.damaged())
