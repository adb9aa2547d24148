"""What a hostile hand writes into an unencrypted repository: it costs no memory, and damages itself alone."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from backup_platform.actions.verify.run import ReadShare, verify
from backup_platform.domain import limits
from backup_platform.domain.model import RecoveryPoint
from backup_platform.errors import DamageError, RepositoryError
from backup_platform.repository.objects.canonical import canonical, parse
from backup_platform.repository.objects.names import PackKey, digest
from backup_platform.repository.packs.index import index_pack
from backup_platform.repository.packs.packs import PackBuilder
from backup_platform.repository.packs.storing import checked_pack, write_index
from backup_platform_tests.actions.prune_support import planned
from backup_platform_tests.repository.hostile import brackets, rewrite
from backup_platform_tests.support import Bench, QuietProgress, noise

Change = Callable[[dict[str, Any]], Any]


def put(*path: str, value: object) -> Change:
    def change(document: dict[str, Any]) -> None:
        for name in path[:-1]:
            document = document[name]
        document[path[-1]] = value

    return change


def raw(old: bytes, new: bytes) -> Change:
    return lambda document: canonical(document).replace(old, new, 1)


CHANGES: dict[str, Change] = {
    "brackets": brackets,
    "depth": put("inventory", "depth", value=10**6),
    "negative depth": put("inventory", "depth", value=-1),
    "size": put("inventory", "size", value=1 << 62),
    "negative size": put("inventory", "size", value=-1),
    "part of an id": put("inventory", "blobs", value="ab" * 31),
    "digits": raw(b'"files":1', b'"files":1' + b"0" * 400),
    "negative files": put("stats", "files", value=-5),
    "a number too large for a date": put("lateness_s", value=1e308),
    "infinity": raw(b'"lateness_s":0', b'"lateness_s":1e999'),
    "not a number": raw(b'"lateness_s":0', b'"lateness_s":NaN'),
    "a key twice": raw(b'"kind":', b'"kind":"x","kind":'),
    "half a character": raw(b'"versions":{', b'"versions":{"a":"\\ud800",'),
    "a time zone that is a path": put("timezone", value="../../../etc/passwd"),
    "no offset": put("captured_at", value="2026-11-22T02:15:00"),
    "the last year": put("window", "start", value="9999-12-31T23:59:59+00:00"),
    "texts for numbers": put("sequence", value="0000000002"),
    "true for a number": put("stats", "files", value=True),
    "a list for a document": put("window", value=[]),
    "null": put("facts", value=None),
    "a status of its own": put("problems", value=[{"detail": "", "path": "", "status": "well"}]),
    "many problems": put("problems", value=[{"detail": "", "path": "", "status": "ok"}] * 101),
}


def test_a_hostile_manifest_damages_itself_alone(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "repository")
    bench.source.write(b"file", noise(5_000, 1))
    good = bench.backup()
    bad = bench.backup()
    key = bench.open().points.key(bad)
    original = (bench.root / key).read_bytes()
    for name, change in CHANGES.items():
        (bench.root / key).write_bytes(original)
        rewrite(bench.root / key, change)
        points, errors = bench.open().points.readable()
        assert [point.id for point in points] == [good.id], name
        assert [key in error.message for error in errors] == [True], name
    repository = bench.open()
    assert verify(repository, [good], ReadShare(), bench.clock, QuietProgress()).passed
    assert bench.content(good) == bench.source.files
    assert bench.content(bench.backup()) == bench.source.files, "backups go on"
    assert planned(bench).refusals, "nothing is deleted that it might need"


def test_documents_that_are_nearly_too_deep_or_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit itself, in both directions; brackets in texts are none."""
    nested: Any = "[[{{" * 40
    for _ in range(limits.MAX_NESTING - 1):
        nested = [nested]
    assert parse("key", canonical({"a": nested})) == {"a": nested}
    with pytest.raises(DamageError, match="deeper"):
        parse("key", canonical({"a": [nested]}))
    monkeypatch.setattr("backup_platform.repository.objects.canonical.MAX_VALUES", 50)
    assert parse("key", canonical({"a": [0] * 45}))
    with pytest.raises(DamageError, match="larger"):
        parse("key", canonical({"a": [0] * 55}))


def with_a_bomb(bench: Bench, plain: int) -> RecoveryPoint:
    """A point whose only pack of contents was replaced by one whose frame becomes so large, all of it authentic."""
    blob = bytes(100_000)
    bench.source.write(b"zeros", blob)
    point = bench.backup()
    count = plain // len(blob)
    packer = zstandard.ZstdCompressor(level=1).compressobj(size=plain)
    frame = b"".join(packer.compress(blob) for _ in range(count)) + packer.flush()
    builder = PackBuilder()
    builder.add(frame, plain, [(digest(blob), len(blob))] * count)
    frames = list(builder.frames)
    stored = bytes(builder.finish())
    for key in bench.keys("packs/") | bench.keys("indexes/"):
        (bench.root / key).unlink()
    key = PackKey.of(digest(stored), meta=False)
    bench.store.create(key, stored)
    repository = bench.open()
    (meta,) = bench.keys("meta/")
    rows = index_pack(meta, checked_pack(repository.objects, meta))
    write_index(repository.objects, [index_pack(key, frames), rows])
    return point


def test_a_frame_that_decompresses_to_very_much_takes_no_memory(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "repository")
    point = with_a_bomb(bench, 100_000_000)
    tracemalloc.start()
    with pytest.raises(DamageError, match="larger than the limit"):
        bench.content(point)
    repository = bench.open()
    assert not verify(repository, [point], ReadShare(), bench.clock, QuietProgress()).passed
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000


def test_an_object_that_is_larger_than_its_kind_is_not_read(bench: Bench) -> None:
    point = bench.backup()
    for key, size in (
        (bench.open().points.key(point), limits.MAX_DOCUMENT + limits.SEALING + 1),
        (max(bench.keys("packs/")), limits.MAX_PACK + limits.SEALING + 1),
        (max(bench.keys("indexes/")), limits.MAX_INDEX + limits.SEALING + 1),
        ("repository.json", limits.MAX_SMALL_DOCUMENT + 1),
    ):
        with (bench.root / key).open("r+b") as file:
            file.truncate(size)
        with pytest.raises(DamageError, match="The limit for an object"):
            bench.store.get(key)
    with pytest.raises(RepositoryError):
        bench.open()


def test_what_has_no_name_of_a_pack_or_a_mark_is_none(bench: Bench) -> None:
    point = bench.backup()
    (pack,) = bench.keys("packs/")
    for key in (
        "packs/zz/no-hex",
        f"packs/{pack[-64:]}",
        "meta/00/" + "é" * 64,
        "ledger/damaged/packs/x",
        "ledger/damaged/y",
    ):
        (bench.root / key).parent.mkdir(parents=True, exist_ok=True)
        (bench.root / key).write_bytes((bench.root / pack).read_bytes())
    assert bench.content(point) == bench.source.files
    assert bench.open().marks.damaged() == set()
    assert bench.content(bench.backup()) == bench.source.files


def test_a_writer_of_very_small_blobs_keeps_within_the_limits(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their ids, and not their bytes, then fill packs and indexes."""
    monkeypatch.setattr("backup_platform.repository.packs.packs.PACK_BLOBS", 100)
    monkeypatch.setattr("backup_platform.repository.packs.blob_writer.FRAME_BLOBS", 30)
    monkeypatch.setattr("backup_platform.repository.packs.storing.INDEX_ROWS", 150)
    for number in range(500):
        bench.source.write(b"%03d" % number, noise(7, number))
    point = bench.backup()
    repository = bench.open()
    frames = [frame for key in bench.keys("packs/") for frame in checked_pack(repository.objects, key)]
    assert len(bench.keys("packs/")) >= 4
    assert max(len(frame.blobs) for frame in frames) <= 30
    assert len(bench.keys("indexes/")) >= 3
    assert bench.content(point) == bench.source.files
