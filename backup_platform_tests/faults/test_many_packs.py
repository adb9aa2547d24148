"""A repository of 100,000 packs, about 2 TB: what is done for each of them must stay small."""

from __future__ import annotations

import re
import time
from functools import cache
from pathlib import Path

import numpy as np

from backup_platform.domain.ports import StoredObject
from backup_platform.repository.objects.names import PackKey
from backup_platform.repository.packs.index import ROW, IndexedPack
from backup_platform.repository.packs.storing import write_index
from backup_platform_tests.faults.scene import Scene
from backup_platform_tests.support import START, noise

PACKS, INDEXES, BLOBS = 100_000, 250, 2  # each pack holds 2 blobs
SECONDS = 60  # of a machine that does a lot besides; it takes 3 alone
MEMORY = 200 << 20


@cache
def large() -> Scene:
    """Its packs are names in listings and rows in indexes: no point needs them."""
    scene = Scene.make(encrypted=False)
    scene.backup()
    names, blobs = noise(32 * PACKS, 1), np.frombuffer(noise(32 * PACKS * BLOBS, 2), "<u8").reshape(-1, 4)
    packs = []
    for n in range(PACKS):
        rows = np.zeros(BLOBS, ROW)
        rows["blob"], rows["frame_stored"] = blobs[n * BLOBS :][:BLOBS], 900
        key = PackKey.of(names[32 * n : 32 * n + 32], meta=False)
        packs.append(IndexedPack(key, rows))
        scene.store.objects[key] = b"", StoredObject(key, 20 << 20, START)
    repository = scene.open()
    for first in range(0, PACKS, PACKS // INDEXES):
        write_index(repository.objects, packs[first : first + PACKS // INDEXES])
    return scene


def test_a_backup_beside_many_packs() -> None:
    """Seconds and memory for the listings, the indexes and all else that it does."""
    scene = large().copied()
    scene.change(2)
    before, started = memory("VmRSS"), time.monotonic()
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    scene.backup()
    used, seconds = memory("VmHWM") - before, time.monotonic() - started
    assert seconds < SECONDS
    assert used < MEMORY, f"{used:,} bytes"
    assert len(scene.open().objects.packs()) > PACKS


def memory(name: str) -> int:
    """Bytes of this process, or their peak."""
    found = re.search(rf"{name}:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) << 10
