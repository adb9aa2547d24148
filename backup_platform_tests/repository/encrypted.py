"""What tests of encrypted repositories share."""

from __future__ import annotations

from pathlib import Path

from backup_platform.actions.keys.run import cipher_of
from backup_platform.actions.verify.run import ReadShare, VerifyResult, verify
from backup_platform.repository.encryption.key_files import Keys
from backup_platform.repository.encryption.recipients import add_recipient, parse_recipient, retire_recipient
from backup_platform.repository.repository import Repository
from backup_platform_tests.support import (
    Bench,
    ManualClock,
    QuietProgress,
    noise,
    recipient,
    text,
    writer_keys,
)


def encrypted_bench(folder: Path) -> Bench:
    """A repository to one recipient, and a source with names that must not show."""
    made = Bench(folder / "repository", encrypted=True)
    made.source.write(b"docs/small", text(2_000, 1))
    made.source.write(b"a file name that must not show", b"and its content neither")
    made.source.write(b"large", noise(900_000, 3))
    return made


def rewrap(repository: Repository) -> int:
    """Every pack becomes readable for all recipients; how many packs."""
    cipher = cipher_of(repository)
    return cipher.rewrap(repository.objects.packs(), cipher.recipients_to_rewrap(()))


def opened(bench: Bench, keys: Keys) -> Repository:
    return Repository(bench.store, bench.clock, keys=keys)


def verified(repository: Repository, clock: ManualClock) -> VerifyResult:
    return verify(repository, repository.points.all(), ReadShare(), clock, QuietProgress())


def add(bench: Bench, number: int) -> None:
    add_recipient(
        cipher_of(opened(bench, writer_keys())).objects, parse_recipient(recipient(number)), bench.clock.now()
    )


def retire(bench: Bench, number: int) -> None:
    retire_recipient(cipher_of(opened(bench, writer_keys())).objects, recipient(number), bench.clock.now())
