"""Recipients of an encrypted repository: added, retired, tested, rewrapped; and how a repository is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from backup_platform.actions.backup.run import BackupJob
from backup_platform.actions.keys.run import cipher_of, init_encrypted
from backup_platform.actions.keys.run import test_keys as prove_keys
from backup_platform.errors import (
    ConflictError,
    DamageError,
    KeyMissingError,
    NotFoundError,
    RecipientsChangedError,
    UsageError,
)
from backup_platform.repository.encryption import age, recipients
from backup_platform.repository.encryption.key_files import Keys, Secret
from backup_platform.repository.encryption.key_tests import list_recipients
from backup_platform.repository.encryption.recipients import add_recipient, parse_recipient
from backup_platform.repository.objects.names import digest, recipient_name
from backup_platform.repository.repository import Repository
from backup_platform.stores.object_store import DirectoryStore
from backup_platform_tests.repository.encrypted import add, encrypted_bench, opened, retire, rewrap, verified
from backup_platform_tests.support import (
    IDENTITIES,
    Bench,
    Call,
    ManualClock,
    QuietProgress,
    ScriptedStore,
    all_keys,
    content_of,
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


# Recipients


def test_a_new_recipient_reads_what_is_stored_from_then_on(bench: Bench) -> None:
    first = bench.backup()
    add(bench, 1)
    bench.source.write(b"docs/small", text(4_000, 5))
    second = bench.backup()
    later = opened(bench, reader_keys(1))
    (small,) = (e for e in later.reader(second).entries() if e.stat.path == b"docs/small")
    assert b"".join(later.reader(second).read(small.content)) == text(4_000, 5)
    with pytest.raises(KeyMissingError, match="key rewrap"):
        content_of(later, first)


def test_rewrapping_makes_old_packs_readable_and_stores_none(bench: Bench) -> None:
    first = bench.backup()
    add(bench, 1)
    before = {key: (bench.root / key).read_bytes() for key in bench.keys("packs/")}
    with pytest.raises(KeyMissingError):
        rewrap(opened(bench, all_keys(1)))
    repository = opened(bench, reader_keys(0))
    assert rewrap(repository) == len(before)
    assert {key: (bench.root / key).read_bytes() for key in bench.keys("packs/")} == before
    later = opened(bench, reader_keys(1))
    assert content_of(later, first) == bench.source.files
    assert verified(later, bench.clock).packs_not_decoded == 0
    assert rewrap(later) == len(before)
    with pytest.raises(KeyMissingError):
        opened(bench, reader_keys(2))


def test_a_forged_or_damaged_rewrap_gains_nothing(bench: Bench) -> None:
    first = bench.backup()
    add(bench, 1)
    (pack,) = bench.keys("packs/")
    forged, _ = age.encrypt(bytes.fromhex(pack[-64:]) + bytes(16), [age.Recipient(recipient(1))])
    bench.store.create(f"keys/rewrap/{digest(forged).hex()}", forged)
    bench.store.create(f"keys/rewrap/{bytes(32).hex()}", b"no age file")
    with pytest.raises(KeyMissingError):
        content_of(opened(bench, reader_keys(1)), first)
    repository = opened(bench, reader_keys(0))
    rewrap(repository)
    assert content_of(opened(bench, reader_keys(1)), first) == bench.source.files


def test_a_retired_recipient_cannot_read_what_comes_after(bench: Bench) -> None:
    add(bench, 1)
    first = bench.backup()
    retire(bench, 1)
    bench.source.write(b"large", noise(900_000, 8))
    second = bench.backup()
    leaked = opened(bench, reader_keys(1))
    assert content_of(leaked, first)[b"large"] == noise(900_000, 3)
    with pytest.raises(KeyMissingError):
        content_of(leaked, second)
    repository = opened(bench, reader_keys(0))
    rewrap(repository)
    with pytest.raises(KeyMissingError):
        content_of(opened(bench, reader_keys(1)), second)
    assert content_of(opened(bench, reader_keys(0)), second) == bench.source.files


def test_retiring_holds_for_a_process_that_runs_already(bench: Bench) -> None:
    """From its next backup on."""
    add(bench, 1)
    repository = opened(bench, writer_keys())
    job = BackupJob(bench.source, bench.schedule, repository, bench.clock)
    job.run(None, force=True, progress=QuietProgress())
    retire(bench, 1)
    before = bench.keys("packs/")
    bench.source.write(b"large", noise(900_000, 8))
    job.run(None, force=True, progress=QuietProgress())
    (new,) = bench.keys("packs/") - before
    identities = [age.Identity(text) for text in IDENTITIES]
    assert age.decrypt((bench.root / new).read_bytes(), identities[1:]) is None
    assert age.decrypt((bench.root / new).read_bytes(), identities[:1])


def test_the_last_recipient_and_unknown_and_known_ones(bench: Bench) -> None:
    with pytest.raises(UsageError, match="last recipient"):
        retire(bench, 0)
    with pytest.raises(NotFoundError):
        retire(bench, 1)
    add(bench, 1)
    with pytest.raises(ConflictError, match="there already"):
        add(bench, 1)
    retire(bench, 1)
    retire(bench, 1)
    with pytest.raises(ConflictError, match="cannot be added again"):
        add(bench, 1)
    with pytest.raises(UsageError, match="last recipient"):
        retire(bench, 0)


def test_more_recipients_than_fit_are_told_before_anything_is_stored(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host with the repository key can write more documents than `key add` does."""
    bench.backup()
    for number in (1, 2):
        add(bench, number)
    monkeypatch.setattr(recipients, "MAX_RECIPIENTS", 2)
    before = bench.keys()
    another = parse_recipient(age.Identity(age.generate_identity()).recipient)
    objects = cipher_of(opened(bench, writer_keys())).objects
    with pytest.raises(UsageError, match="has 3 recipients that are not retired"):
        add_recipient(objects, another, bench.clock.now())
    bench.source.write(b"docs/small", text(4_000, 5))
    for action in (bench.backup, lambda: rewrap(opened(bench, reader_keys(0)))):
        with pytest.raises(RecipientsChangedError, match=r"names 3 recipients .* at most 2") as raised:
            action()
        assert "`recipients` of the repository into the plan" in raised.value.hint
        assert "key retire age1…" in raised.value.hint
    assert bench.keys() == before
    retire(bench, 2)
    assert bench.backup().sequence == 2


def test_an_addition_that_was_interrupted_is_finished_by_the_next(bench: Bench) -> None:
    def script(call: Call) -> None:
        if call.key.endswith(".recipient") and call.verb == "create":
            raise KeyboardInterrupt

    store = ScriptedStore(bench.store, script)
    cipher = cipher_of(Repository(store, bench.clock, keys=writer_keys()))
    with pytest.raises(KeyboardInterrupt):
        add_recipient(cipher.objects, parse_recipient(recipient(1)), bench.clock.now())
    assert [each.text for each in list_recipients(cipher.objects)] == [recipient(0)]
    add(bench, 1)
    assert opened(bench, reader_keys(1)).points.all() == []


def test_without_recipients_nothing_is_written(bench: Bench) -> None:
    for key in bench.keys("keys/"):
        (bench.root / key).unlink()
    with pytest.raises(KeyMissingError, match="no recipient"):
        bench.backup()
    add(bench, 1)
    bench.held = all_keys(1)
    assert bench.content(bench.backup()) == bench.source.files


def test_a_recipient_is_parsed_and_an_identity_given_by_mistake_is_not_shown() -> None:
    with pytest.raises(UsageError, match="private key") as raised:
        parse_recipient(IDENTITIES[0])
    assert IDENTITIES[0][20:] not in str(raised.value)
    with pytest.raises(UsageError, match="not a recipient"):
        parse_recipient("age1notakey")


# Tests of keys


def test_a_test_of_keys_reads_the_newest_point_and_is_remembered(bench: Bench) -> None:
    repository = opened(bench, reader_keys())
    (empty,) = prove_keys(repository, bench.clock)
    assert (empty.point, empty.pack, empty.recipient.tested_at) == (None, "", None)
    at = bench.clock.now()
    point = bench.backup()
    (done,) = prove_keys(opened(bench, all_keys()), bench.clock)
    assert (done.point, done.pack) == (point, *bench.keys("packs/"))
    assert done.recipient.tested_at == at
    assert list_recipients(cipher_of(opened(bench, writer_keys())).objects)[0].tested_at == bench.clock.now()
    assert len(bench.keys("ledger/keys/")) == 2


def test_a_test_of_keys_fails_where_the_identity_does_not_open_the_newest_point(bench: Bench) -> None:
    bench.backup()
    add(bench, 1)
    with pytest.raises(KeyMissingError):
        prove_keys(opened(bench, all_keys(1)), bench.clock)
    with pytest.raises(KeyMissingError):
        prove_keys(opened(bench, writer_keys()), bench.clock)
    (bench.root / "keys" / recipient_name(recipient(0))).write_bytes(b"altered")
    with pytest.raises(DamageError):
        prove_keys(opened(bench, all_keys(0)), bench.clock)
    assert bench.keys("ledger/keys/") == set()


# Making one


def test_init_writes_the_key_file_and_uses_one_that_is_there(tmp_path: Path) -> None:
    clock, keys = ManualClock(), Keys(key=Secret(str(tmp_path / "key")))
    first = DirectoryStore(str(tmp_path / "first"))
    info = init_encrypted(first, keys, [recipient(0), recipient(1)], clock)
    assert info.encryption == "age-v1"
    key = keys.repository_key()
    assert Repository(first, clock, keys=reader_keys(1)).cipher.reads_contents
    second = DirectoryStore(str(tmp_path / "second"))
    init_encrypted(second, keys, [recipient(2)], clock)
    assert keys.repository_key() == key
    with pytest.raises(ConflictError):
        init_encrypted(second, keys, [recipient(2)], clock)
    with pytest.raises(UsageError, match="no file is named"):
        init_encrypted(DirectoryStore(str(tmp_path / "third")), Keys(), [recipient(0)], clock)
    with pytest.raises(UsageError, match="twice"):
        init_encrypted(DirectoryStore(str(tmp_path / "third")), keys, [recipient(0)] * 2, clock)


def test_init_leaves_no_key_file_where_a_repository_is(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(ConflictError):
        init_encrypted(bench.store, Keys(key=Secret(str(tmp_path / "key"))), [recipient(0)], bench.clock)
    assert not (tmp_path / "key").exists()


def test_keys_of_an_unencrypted_repository(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not encrypted"):
        cipher_of(small_bench(tmp_path).open())
