"""What a forger gains who can write to the store of an encrypted repository, and has no key: nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from backup_platform.errors import DamageError, KeyMissingError
from backup_platform.repository.encryption.sealing import Secrets, seal, unseal
from backup_platform.repository.objects.canonical import canonical
from backup_platform.repository.objects.names import ManifestKey, recipient_name
from backup_platform_tests.repository.encrypted import add, encrypted_bench, opened
from backup_platform_tests.support import (
    REPOSITORY_KEY,
    Bench,
    flipped,
    noise,
    reader_keys,
    recipient,
    writer_keys,
)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return encrypted_bench(tmp_path)


# Authenticity


def place(bench: Bench, sequence: int, source: str = "docs") -> Path:
    key = ManifestKey.of(source, sequence, opened(bench, writer_keys()).cipher.hash)
    (bench.root / key).parent.mkdir(exist_ok=True)
    return bench.root / key


@pytest.mark.parametrize(("source", "sequence"), [("docs", 2), ("docs", 3), ("mail", 1)])
def test_a_manifest_replayed_or_moved_is_refused(bench: Bench, source: str, sequence: int) -> None:
    bench.backup()
    bench.backup()
    shutil.copy(place(bench, 1), place(bench, sequence, source))
    with pytest.raises(DamageError, match="belongs elsewhere"):
        bench.open().points.all()


def test_a_manifest_of_another_repository_with_the_same_key_is_refused(bench: Bench, tmp_path: Path) -> None:
    other = Bench(tmp_path / "other", encrypted=True)
    other.source.files, other.source.modified = bench.source.files, bench.source.modified
    bench.backup()
    other.backup()
    shutil.copy(place(other, 1), place(bench, 1))
    with pytest.raises(DamageError, match="belongs elsewhere"):
        bench.open().points.all()


def test_a_manifest_cannot_be_forged_without_the_key(bench: Bench, tmp_path: Path) -> None:
    bench.backup()
    repository = bench.open()
    path = place(bench, 1)
    plain = bytes(repository.objects.plain(path.relative_to(bench.root).as_posix()))
    for forged in (plain, bytes(seal(Secrets.of(bytes(32)), plain)), path.read_bytes()[:-20]):
        path.write_bytes(forged)
        with pytest.raises(DamageError):
            bench.open().points.all()


def test_a_repository_that_turns_out_unencrypted_is_refused_by_whoever_has_a_key(
    bench: Bench, tmp_path: Path
) -> None:
    """Else a forged repository.json would make writers write in the clear."""
    bench.backup()
    root = bench.root / "repository.json"
    document = json.loads(root.read_bytes()) | {"encryption": "none"}
    root.write_bytes(canonical(document))
    for keys in (writer_keys(), reader_keys()):
        with pytest.raises(KeyMissingError, match="says that it is not encrypted"):
            opened(bench, keys)


def test_a_recipient_cannot_be_added_without_the_repository_key(bench: Bench, tmp_path: Path) -> None:
    other = Bench(tmp_path / "other", encrypted=True)
    add(other, 1)
    name = recipient_name(recipient(1))
    shutil.copy(other.root / "keys" / f"{name}.recipient", bench.root / "keys")
    assert written_to(bench, b"copied from elsewhere") == {1}
    (bench.root / "keys" / f"{name}.recipient").write_bytes(seal(Secrets.of(bytes(32)), b"{}"))
    assert written_to(bench, b"sealed with another key") == {1}
    (bench.root / "keys" / f"{name}.recipient").unlink()
    (bench.root / "keys" / f"{recipient_name(recipient(0))}.recipient").rename(
        bench.root / "keys" / f"{name}.retired"
    )
    with pytest.raises(DamageError, match="No sound document names a recipient"):
        bench.backup()


def written_to(bench: Bench, content: bytes) -> set[int]:
    """To how many recipients each pack of the repository is encrypted, after one more backup."""
    bench.source.write(b"docs/new", content)
    bench.backup()
    packs = [path.read_bytes() for path in (bench.root / "packs").rglob("*") if path.is_file()]
    return {pack.split(b"\n---")[0].count(b"-> X25519") for pack in packs}


# Sealed objects


def test_sealed_objects_round_trip_and_no_two_are_equal() -> None:
    secrets = Secrets.of(REPOSITORY_KEY)
    for size in (0, 1, 65536, 65537, 200_000):
        assert unseal(secrets, seal(secrets, noise(size, 1))) == noise(size, 1)
    assert len({bytes(seal(secrets, b"same")) for _ in range(50)}) == 50


def test_every_altered_byte_and_every_truncation_of_a_sealed_object_is_damage() -> None:
    secrets = Secrets.of(REPOSITORY_KEY)
    sealed = bytes(seal(secrets, noise(300, 2)))
    for position in range(len(sealed)):
        for broken in (flipped(sealed, position), sealed[:position]):
            with pytest.raises(DamageError):
                unseal(secrets, broken)
    with pytest.raises(DamageError):
        unseal(Secrets.of(bytes(32)), sealed)
