"""The small objects below `keys/`: whatever happens to one is found, explained, mended, and stops no restore."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from backup_platform.actions.checks.points import authentic
from backup_platform.actions.keys.run import cipher_of
from backup_platform.actions.keys.run import test_keys as prove_keys
from backup_platform.actions.repair.run import Repair
from backup_platform.errors import DamageError, KeyMissingError
from backup_platform.repository.encryption import age, bech32
from backup_platform.repository.encryption.key_files import Keys
from backup_platform.repository.encryption.key_objects import key_problems
from backup_platform.repository.encryption.key_tests import list_recipients
from backup_platform.repository.objects.canonical import canonical
from backup_platform.repository.objects.names import recipient_name
from backup_platform.repository.replicas import init_replica
from backup_platform.repository.repository import Repository
from backup_platform.stores.object_store import DirectoryStore
from backup_platform_tests.repository.encrypted import add, encrypted_bench, opened, retire, rewrap
from backup_platform_tests.support import (
    Bench,
    all_keys,
    content_of,
    flipped,
    reader_keys,
    recipient,
    writer_keys,
)

OWN = f"keys/{recipient_name(recipient(0))}"
RETIRED = f"keys/{recipient_name(recipient(1))}"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Two recipients, one of them retired, packs of before and after, and keys of them that were rewrapped."""
    made = encrypted_bench(tmp_path)
    made.backup()
    add(made, 1)
    retire(made, 1)
    repository = opened(made, all_keys(0))
    rewrap(repository)
    return made


def copy_of(bench: Bench) -> Repository:
    store = DirectoryStore(str(bench.root.parent / "copy"))
    init_replica(opened(bench, writer_keys()), store)
    return Repository(store, bench.clock, keys=writer_keys())


def restores(bench: Bench, keys: Keys) -> bool:
    repository = opened(bench, keys)
    repository.cipher.require_contents()
    return content_of(repository, repository.points.all()[0]) == bench.source.files


def lose(path: Path) -> None:
    path.unlink()


def alter(path: Path) -> None:
    path.write_bytes(flipped(path.read_bytes()))


def cut(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("harm", [lose, alter, cut])
@pytest.mark.parametrize("which", ["wrapped", "recipient", "retired", "rewrapped"])
def test_whatever_happens_below_keys_it_is_found_and_mended_and_stops_no_restore(
    bench: Bench, which: str, harm: Callable[[Path], None]
) -> None:
    donor = copy_of(bench)
    [rewrapped] = bench.keys("keys/rewrap/")
    key = {
        "wrapped": OWN,
        "recipient": f"{OWN}.recipient",
        "retired": f"{RETIRED}.retired",
        "rewrapped": rewrapped,
    }
    path, before = bench.root / key[which], (bench.root / key[which]).read_bytes()
    harm(path)
    if harm is lose and which in ("retired", "rewrapped"):
        return  # that there was one nobody can tell; FORMAT.md and docs/encryption.md say so
    repository = opened(bench, writer_keys())
    [problem] = key_problems(repository.cipher)
    assert problem.key == key[which]
    assert "is missing" in str(problem) if harm is lose else "is damaged" in str(problem)
    assert not authentic(repository, repository.points.all()[0]).passed
    assert restores(bench, all_keys(0))
    repair = Repair(repository, {"copy": donor}, bench.clock)
    result = repair.run(repair.plan())
    assert (result.sound, [step.key for step in result.done]) == (True, [key[which]])
    assert path.read_bytes() == before
    assert key_problems(repository.cipher) == []
    assert restores(bench, reader_keys(0))


@pytest.mark.parametrize("harm", [lose, alter, cut])
def test_the_wrapped_key_is_made_anew_without_any_copy(bench: Bench, harm: Callable[[Path], None]) -> None:
    before = (bench.root / OWN).read_bytes()
    harm(bench.root / OWN)
    with pytest.raises(DamageError, match=OWN) as raised:
        opened(bench, reader_keys(0))
    assert "repository key" in raised.value.hint
    repair = Repair(opened(bench, writer_keys()), {}, bench.clock)
    assert repair.run(repair.plan()).sound
    assert (bench.root / OWN).read_bytes() == before
    assert restores(bench, reader_keys(0))


def test_an_identity_and_the_repository_key_restore_with_nothing_below_keys(bench: Bench) -> None:
    for key in bench.keys("keys/"):
        (bench.root / key).unlink()
    assert restores(bench, all_keys(0))
    with pytest.raises(KeyMissingError, match="do not open"):
        restores(bench, all_keys(2))
    with pytest.raises(DamageError, match="All objects below keys/"):
        opened(bench, reader_keys(0))


def test_a_wrapped_key_of_an_older_version_is_checked_by_its_form_and_by_its_identity(bench: Bench) -> None:
    """It is random, and no document has its hash."""
    cipher = cipher_of(opened(bench, writer_keys()))
    document = {
        "added_at": bench.clock.now().isoformat(),
        "recipient": recipient(0),
        "repository": cipher.info.id,
    }
    line = canonical(document)
    signed = line + b"\n" + cipher.hash(line).hex().encode() + b"\n"
    (bench.root / f"{OWN}.recipient").write_bytes(cipher.wrap(f"{OWN}.recipient", signed).stored)
    (bench.root / OWN).write_bytes(age.encrypt(cipher.repository_key, [age.Recipient(recipient(0))])[0])
    assert key_problems(opened(bench, all_keys(0)).cipher) == []
    (bench.root / OWN).write_bytes(age.encrypt(bytes(32), [age.Recipient(recipient(0))])[0])
    assert key_problems(opened(bench, writer_keys()).cipher) == []
    assert [each.key for each in key_problems(opened(bench, all_keys(0)).cipher)] == [OWN]
    (bench.root / OWN).write_bytes((bench.root / OWN).read_bytes()[:-1])
    assert [each.key for each in key_problems(opened(bench, writer_keys()).cipher)] == [OWN]


def test_what_somebody_else_wrote_is_named_and_stops_nothing(bench: Bench) -> None:
    """A wrapped key and a document of nobody, a wrapped key of the right form, a name that the format does not have."""
    right = (bench.root / OWN).read_bytes()
    foreign = {
        "0" * 64: b"x",
        "1" * 64 + ".recipient": b"x",
        "2" * 64: right,
        "3" * 64 + ".retired": b"",
        "note.txt": b"x",
        "rewrap/" + "4" * 64: b"x",
    }
    for name, data in foreign.items():
        (bench.root / "keys" / name).write_bytes(data)
    repository = opened(bench, writer_keys())
    problems = {each.key: str(each) for each in key_problems(repository.cipher)}
    missing = f"keys/{'2' * 64}.recipient"
    assert problems.keys() == {f"keys/{name}" for name in foreign if name != "2" * 64} | {missing}
    assert f"delete keys/{'2' * 64} with the tools of the store" in problems[missing]
    assert all("elete it with the tools of the store" in problems[key] for key in problems if key != missing)
    plan = Repair(repository, {}, bench.clock).plan()
    assert (plan.steps, plan.lost, len(plan.unexpected)) == ((), (), len(problems))
    assert not plan.nothing_wrong
    assert restores(bench, reader_keys(0))
    bench.source.write(b"docs/small", b"later")
    assert restores_newest(bench)


def restores_newest(bench: Bench) -> bool:
    point = bench.backup()
    return content_of(opened(bench, reader_keys(0)), point) == bench.source.files


LOW_ORDER = bech32.encode("age", bytes(32))


@pytest.mark.parametrize("named", ["age1\x1b[31mEVIL", "", LOW_ORDER, recipient(2).upper()])
def test_an_authentic_document_that_names_no_usable_key_is_one_damaged_object(
    bench: Bench, named: str
) -> None:
    """A host with the repository key signs whatever it wants."""
    objects = cipher_of(opened(bench, writer_keys())).objects
    key = f"keys/{recipient_name(named)}"
    bench.store.create(key, b"x")
    objects.write_document(f"{key}.recipient", {"added_at": "2026-11-22T00:00:00+00:00", "recipient": named})
    repository = opened(bench, writer_keys())
    assert {each.key for each in key_problems(repository.cipher)} == {key, f"{key}.recipient"}
    bench.source.write(b"docs/small", b"later")
    assert restores_newest(bench)
    assert [each.text for each in list_recipients(objects)] == [recipient(0), recipient(1)]
    repair = Repair(repository, {}, bench.clock)
    assert repair.run(repair.plan()).failed == ()


def test_without_any_sound_document_nothing_is_written(bench: Bench) -> None:
    alter(bench.root / f"{OWN}.recipient")
    with pytest.raises(DamageError, match="No sound document names a recipient"):
        bench.backup()


def test_adding_and_retiring_write_documents_anew_that_are_damaged(bench: Bench) -> None:
    add(bench, 2)
    for key in (f"{OWN}.recipient", f"{RETIRED}.retired"):
        alter(bench.root / key)
    add(bench, 0)
    retire(bench, 1)
    repository = opened(bench, writer_keys())
    assert key_problems(repository.cipher) == []
    assert [each.text for each in list_recipients(cipher_of(repository).objects) if each.retired_at] == [
        recipient(1)
    ]


def test_a_key_test_names_an_identity_whose_document_is_lost(bench: Bench) -> None:
    lose(bench.root / f"{OWN}.recipient")
    with pytest.raises(DamageError, match="no document below keys/"):
        prove_keys(opened(bench, all_keys(0)), bench.clock)


def test_one_damaged_key_does_not_hide_the_identity_that_opens_another(bench: Bench) -> None:
    alter(bench.root / OWN)
    keys = reader_keys(0)
    assert keys.identity is not None
    assert keys.identity.text is not None
    other = reader_keys(1).identity
    assert other is not None
    both = Keys(identity=type(other)("both", f"{keys.identity.text}\n{other.text}"))
    assert restores(bench, both)
