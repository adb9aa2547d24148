"""An encrypted repository: who can do what with which key, and what the store shows."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from backup_platform.actions.checks import points as checks
from backup_platform.actions.drill import drill
from backup_platform.actions.keys.run import export_key
from backup_platform.actions.restore.run import plan_restore, run_restore
from backup_platform.actions.verify.run import ReadShare
from backup_platform.domain.model import RecoveryPoint
from backup_platform.errors import ConflictError, DamageError, KeyMissingError
from backup_platform.repository.encryption import age
from backup_platform.repository.encryption.key_files import Keys, Secret
from backup_platform.repository.encryption.sealing import Secrets
from backup_platform.repository.objects.names import digest
from backup_platform.repository.packs.storing import checked_pack
from backup_platform.repository.repository import Repository
from backup_platform_tests.repository.encrypted import encrypted_bench, opened, verified
from backup_platform_tests.support import (
    IDENTITIES,
    REPOSITORY_KEY,
    Bench,
    ManualClock,
    QuietProgress,
    ScriptedStore,
    all_keys,
    content_of,
    flipped,
    noise,
    reader_keys,
    recipient,
    small_bench,
    text,
    writer_keys,
)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return encrypted_bench(tmp_path)


# What the store shows


def test_the_store_shows_no_name_and_no_content(bench: Bench) -> None:
    bench.backup()
    bench.source.write(b"docs/later", b"later")
    point = bench.backup()
    repository = bench.open()
    verified(repository, bench.clock)
    repository.marks.mark(sorted(bench.keys("packs/"))[0], "a reason that names nothing")
    stored = b"".join((bench.root / key).read_bytes() + key.encode() for key in bench.keys(""))
    secrets = [
        *bench.source.files,
        *bench.source.files.values(),
        b"docs",
        b"later",
        b"BPTOC",
        b"PAR1",
        b"window",
    ]
    for secret in [s[:64] for s in secrets] + [digest(b"docs")[:16], b"a reason"]:
        assert secret not in stored, secret
        assert secret.hex().encode() not in stored, secret
    assert IDENTITIES[0].encode() not in stored
    assert REPOSITORY_KEY not in stored
    assert recipient().encode() not in stored
    assert point.id.encode() in stored, "which point was proven shows: FORMAT.md says so"


def test_ids_differ_from_those_of_an_unencrypted_repository(bench: Bench, tmp_path: Path) -> None:
    bench.backup()
    plain = small_bench(tmp_path / "plain")
    plain.source.files, plain.source.modified = bench.source.files, bench.source.modified
    plain.backup()

    def ids(repository: Repository) -> set[bytes]:
        return {
            blob
            for key in repository.objects.packs()
            for f in checked_pack(repository.objects, key)
            for blob, _ in f.blobs
        }

    def sizes(repository: Repository) -> set[int]:
        packs = [
            checked_pack(repository.objects, key)
            for key in repository.objects.packs()
            if key.startswith("packs/")
        ]
        return {size for frames in packs for f in frames for _, size in f.blobs if size > 100_000}

    assert ids(bench.open()) & ids(plain.open()) == set()
    assert len(sizes(bench.open()) & sizes(plain.open())) == 0
    assert {key.split("/")[1] for key in bench.keys("manifests/")} != {
        key.split("/")[1] for key in plain.keys("manifests/")
    }


def test_chunks_of_known_data_have_other_sizes() -> None:
    from backup_platform.repository.points.chunking import CONTENTS

    data = noise(20_000_000, 1)
    seeds = [0, Secrets.of(REPOSITORY_KEY).chunking, Secrets.of(bytes(32)).chunking]
    cuts = [tuple(len(chunk) for chunk in CONTENTS.seeded(seed).cut([data])) for seed in seeds]
    assert len(set(cuts)) == 3
    assert all(sum(cut) == len(data) for cut in cuts)
    assert all(seed < 1 << 63 for seed in seeds)


def test_age_and_zstd_open_a_pack_by_hand(bench: Bench, tmp_path: Path) -> None:
    bench.source.files = {b"one": text(50_000, 1)}
    bench.source.modified = {b"one": bench.clock.ns}
    bench.backup()
    (pack,) = bench.keys("packs/")
    (tmp_path / "key").write_text(IDENTITIES[0])
    command = f"age -d -i {tmp_path}/key {bench.root}/{pack} | zstd -d"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, check=True)
    assert done.stdout == bench.source.files[b"one"]


# Who can do what


def test_a_writer_backs_up_lists_and_verifies_without_an_identity(bench: Bench) -> None:
    bench.held = writer_keys()
    bench.backup()
    bench.source.write(b"docs/small", text(3_000, 2))
    point = bench.backup()
    assert point.stats.new_bytes == 3_000
    repository = bench.open()
    paths = [entry.stat.path for entry in repository.reader(point).entries()]
    assert b"a file name that must not show" in paths
    result = verified(repository, bench.clock)
    assert result.passed
    assert (result.packs_read, result.packs_not_decoded) == (result.packs_needed, len(bench.keys("packs/")))
    detail = repository.proofs.details(point.id)[0].detail
    assert detail["packs_not_decoded"] == len(bench.keys("packs/"))


def test_the_check_stored_says_what_was_not_decoded(bench: Bench) -> None:
    point = bench.backup()
    of_all = checks.stored(opened(bench, all_keys()), point, ReadShare(), bench.clock, QuietProgress())
    of_writer = checks.stored(opened(bench, writer_keys()), point, ReadShare(), bench.clock, QuietProgress())
    assert of_all.summary == "2 packs present, 2 read back and decoded"
    assert of_writer.passed
    assert of_writer.summary.startswith("2 packs present, 1 read back and decoded, 1 only compared")
    assert of_writer.metadata["packs_not_decoded"] == 1


def test_a_writer_finds_altered_contents_without_an_identity(bench: Bench) -> None:
    point = bench.backup()
    bench.damage(max(bench.keys("packs/")))
    result = verified(opened(bench, writer_keys()), bench.clock)
    assert list(result.findings) == [point.id]


def test_a_writer_does_not_take_back_what_an_identity_found_damaged(bench: Bench) -> None:
    bench.backup()
    (pack,) = bench.keys("packs/")
    bench.open().marks.mark(pack, "its frames cannot be decoded")
    verified(opened(bench, writer_keys()), bench.clock)
    assert opened(bench, writer_keys()).marks.damaged() == {pack}
    verified(opened(bench, reader_keys()), bench.clock)
    assert opened(bench, writer_keys()).marks.damaged() == set()


def read_all(repository: Repository, point: RecoveryPoint, tmp_path: Path) -> None:
    content_of(repository, point)


def restore(repository: Repository, point: RecoveryPoint, tmp_path: Path) -> None:
    plan = plan_restore(repository.reader(point), point, to=str(tmp_path / "out"))
    try:
        run_restore(plan, repository, ManualClock(), QuietProgress())
    finally:
        assert not (tmp_path / "out").exists(), "nothing is begun that cannot be done"


def drilled(repository: Repository, point: RecoveryPoint, tmp_path: Path) -> None:
    drill(repository, Bench(tmp_path / "other").source, point, ManualClock(), QuietProgress())


@pytest.mark.parametrize("use", [read_all, restore, drilled])
def test_without_an_identity_contents_are_not_read(
    bench: Bench, tmp_path: Path, use: Callable[[Repository, RecoveryPoint, Path], None]
) -> None:
    point = bench.backup()
    with pytest.raises(KeyMissingError) as raised:
        use(opened(bench, writer_keys()), point, tmp_path)
    assert recipient() in raised.value.message
    assert "password store" in raised.value.hint
    with pytest.raises(KeyMissingError, match=recipient(1)):
        use(opened(bench, all_keys(1)), point, tmp_path)
    assert opened(bench, writer_keys()).proofs.by_point() == {}


def test_an_identity_alone_opens_everything(bench: Bench) -> None:
    point = bench.backup()
    repository = opened(bench, reader_keys())
    assert content_of(repository, point) == bench.source.files
    assert verified(repository, bench.clock).packs_not_decoded == 0
    bench.held = reader_keys()
    assert bench.content(bench.backup()) == bench.source.files


def test_no_key_and_a_wrong_key_are_told_apart_from_damage(bench: Bench) -> None:
    bench.backup()
    with pytest.raises(KeyMissingError, match="This host has neither"):
        opened(bench, Keys())
    from backup_platform.repository.encryption import bech32

    wrong = Keys(key=Secret("the wrong one", bech32.encode("backup-platform-key-", bytes(32))))
    with pytest.raises(KeyMissingError, match="the wrong one"):
        opened(bench, wrong)
    with pytest.raises(KeyMissingError, match="belongs to a recipient"):
        opened(bench, reader_keys(1))


def test_a_lost_key_file_is_written_anew_by_an_identity(bench: Bench, tmp_path: Path) -> None:
    bench.backup()
    path = tmp_path / "key"
    export_key(opened(bench, reader_keys()), str(path), bench.clock.now())
    assert opened(bench, Keys(key=Secret(str(path)))).points.all()


# Writing


def test_what_a_writer_stored_is_decrypted_and_compared(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake in encryption, not in the store: the bytes read back are those that were sent."""
    bench.held = writer_keys()
    real = age.write_stream

    def wrong(key: bytes, head: bytes, data: bytearray) -> None:
        real(key, head, data)
        data[len(head) + 100] ^= 1

    monkeypatch.setattr(age, "write_stream", wrong)
    with pytest.raises(DamageError):
        bench.backup()
    assert bench.keys("manifests/") == set()


def test_a_commit_may_be_repeated(bench: Bench) -> None:
    """Sealed anew it has other bytes: what it says is compared."""
    point = bench.backup()
    repository = bench.open()
    assert repository.points.commit(point) == point
    with pytest.raises(ConflictError):
        repository.points.commit(replace(point, lateness_s=5.0))


def test_a_writer_without_identity_stores_again_what_no_index_names(bench: Bench) -> None:
    first = bench.backup()
    for key in bench.keys("indexes/"):
        (bench.root / key).unlink()
    assert content_of(opened(bench, reader_keys()), first) == bench.source.files
    result = verified(opened(bench, writer_keys()), bench.clock)
    assert "no stored pack holds" in result.findings[first.id][0]
    bench.held = writer_keys()
    second = bench.backup()
    assert second.stats.new_bytes == sum(map(len, bench.source.files.values()))
    for point in (first, second):
        assert content_of(opened(bench, reader_keys()), point) == bench.source.files
    assert verified(opened(bench, writer_keys()), bench.clock).passed


def test_a_writer_with_an_identity_uses_what_no_index_names(bench: Bench) -> None:
    bench.backup()
    for key in bench.keys("indexes/"):
        (bench.root / key).unlink()
    assert bench.backup().stats.new_bytes == 0


def test_parts_are_read_and_not_whole_packs(bench: Bench) -> None:
    point = bench.backup()
    store = ScriptedStore(bench.store)
    repository = Repository(store, bench.clock, keys=reader_keys())
    reader = repository.reader(point)
    small = next(e for e in reader.entries() if e.stat.path == b"docs/small")
    store.calls.clear()
    assert b"".join(reader.read(small.content)) == bench.source.files[b"docs/small"]
    assert {call.verb for call in store.calls if call.key.startswith("packs/")} == {"get_range"}
    assert len(store.calls) <= 3


def test_an_unchanged_backup_needs_few_requests(bench: Bench) -> None:
    bench.held = writer_keys()
    bench.backup()
    store = ScriptedStore(bench.store)
    bench.backup(store)
    assert len(store.calls) < 30, [(c.verb, c.key[:20]) for c in store.calls]


def altered(position: Callable[[bytes], int]) -> Callable[[bytes], bytes]:
    return lambda data: flipped(data, position(data))


@pytest.mark.parametrize(
    "harm",
    [
        altered(lambda data: 3),
        altered(lambda data: data.index(b"-> X25519 ") + 20),
        altered(lambda data: data.index(b"\n--- ") - 10),
        altered(lambda data: data.index(b"\n--- ") + 10),
        altered(lambda data: len(data) - 1),
        lambda data: data[:100],
        lambda data: data[:-1],
        lambda data: b"",
        lambda data: data + b"x",
    ],
)
def test_altered_packs_are_damage_and_no_missing_key(bench: Bench, harm: Callable[[bytes], bytes]) -> None:
    point = bench.backup()
    (key,) = bench.keys("packs/")
    sound = (bench.root / key).read_bytes()
    (bench.root / key).write_bytes(harm(sound))
    with pytest.raises(DamageError, match=key):
        content_of(opened(bench, reader_keys()), point)
    (bench.root / key).write_bytes(sound)
    assert content_of(opened(bench, reader_keys()), point) == bench.source.files


def test_two_packs_that_are_swapped_are_damage(bench: Bench) -> None:
    first = bench.backup()
    bench.source.write(b"more", noise(900_000, 9))
    second = bench.backup()
    one, two = (bench.root / key for key in sorted(bench.keys("packs/")))
    sound = one.read_bytes(), two.read_bytes()
    one.write_bytes(sound[1])
    two.write_bytes(sound[0])
    for point in (first, second):
        with pytest.raises(DamageError):
            content_of(opened(bench, reader_keys()), point)
    assert not verified(opened(bench, writer_keys()), bench.clock).passed


UNENCRYPTED = """
import sys
from pathlib import Path
from backup_platform_tests.support import QuietProgress, small_bench
bench = small_bench(Path(sys.argv[1]))
assert bench.content(bench.backup()) == bench.source.files
loaded = [name for name in sys.modules if name.split(".")[0] in ("cryptography", "pyrage")]
assert not loaded, loaded
"""


def test_an_unencrypted_repository_imports_no_cryptography(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", UNENCRYPTED, str(tmp_path)], check=True, cwd=os.getcwd())
