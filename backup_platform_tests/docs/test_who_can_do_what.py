"""The table "Who can do what" of docs/encryption.md: every cell has a test, here or where `shows` names it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from backup_platform.actions.forget.lost import find_losses
from backup_platform.actions.keys.recipients import KeyRing
from backup_platform.actions.points.holds import Holds
from backup_platform.actions.verify.run import ReadShare, verify
from backup_platform.actions.verify.trusted import unvouched_of
from backup_platform.app import App
from backup_platform.domain.model import Proof, ProofMethod, RecoveryPoint
from backup_platform.domain.ports import Buffer
from backup_platform.domain.trust.standing import State, standing
from backup_platform.errors import DamageError, KeyMissingError, RepositoryError, StoreRefusedError
from backup_platform.repository.creating import init_repository
from backup_platform.repository.objects.names import PackKey, digest
from backup_platform.repository.records.forgotten import record_forgotten
from backup_platform.repository.repository import Repository
from backup_platform.stores.object_store import DirectoryStore
from backup_platform_tests.actions.prune_support import prune
from backup_platform_tests.docs.cells import shows
from backup_platform_tests.repository.encrypted import add, encrypted_bench, opened, retire
from backup_platform_tests.repository.poisoning import ids_of, lie
from backup_platform_tests.support import (
    Bench,
    ManualClock,
    QuietProgress,
    all_keys,
    content_of,
    noise,
    reader_keys,
    recipient,
    writer_keys,
)

ROOT = Path(__file__).parents[2]
NO_WAY = "—"
ALL = ReadShare()


def table() -> dict[str, dict[str, str]]:
    """The rows by who, each by column."""
    lines = (ROOT / "docs/encryption.md").read_text().split("## Who can do what\n")[1].split("\n")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    head, rows = rows[0], rows[2 : rows.index(rows[-1]) + 1]
    return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rows}


def shown() -> Iterator[tuple[str, str]]:
    """What `shows` says of all tests: who and column."""
    for path in sorted((ROOT / "backup_platform_tests").rglob("test_*.py")):
        if "@shows(" in (text := path.read_text()):
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                    yield from _of(node)


def _of(test: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    for call in test.decorator_list:
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "shows":
            who, *columns = (ast.literal_eval(each) for each in call.args)
            yield from ((who, column) for column in columns)


def test_every_cell_has_a_test_and_every_test_a_cell() -> None:
    cells = {(who, column) for who, row in table().items() for column, text in row.items() if text != NO_WAY}
    tested = {(next((row for row in table() if row.startswith(who)), who), column) for who, column in shown()}
    assert cells - tested == set(), "without a test"
    assert tested - cells == set(), "not in the table"
    assert len(table()) == 8


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """An encrypted repository with one point, its host a writer."""
    made = encrypted_bench(tmp_path)
    made.held = writer_keys()
    made.backup()
    return made


def findings(bench: Bench, repository: Repository, share: ReadShare = ALL) -> dict[str, list[str]]:
    points, errors = repository.points.readable(reread=True)
    texts = [error.message for error in errors]
    return verify(repository, points, share, bench.clock, QuietProgress(), unreadable=texts).findings


class ReadOnly(DirectoryStore):
    """Credentials that may only read."""

    def create(self, key: str, data: Buffer) -> None:
        raise StoreRefusedError(f"It does not allow to create {key}.")

    def replace(self, key: str, data: Buffer) -> None:
        raise StoreRefusedError(f"It does not allow to replace {key}.")

    def delete(self, key: str) -> None:
        raise StoreRefusedError(f"It does not allow to delete {key}.")


class AddOnly(DirectoryStore):
    """Credentials that may not delete or replace."""

    replace, delete = ReadOnly.replace, ReadOnly.delete


def forget_record(repository: Repository, point: RecoveryPoint) -> None:
    record_forgotten(repository.objects, point, "a reason", repository.clock.now())


# The store's owner


@shows("store owner", "reads")
def test_the_store_shows_numbers_and_no_text(bench: Bench) -> None:
    stored = b"".join((bench.root / key).read_bytes() + key.encode() for key in bench.keys(""))
    for secret in (*bench.source.files, *bench.source.files.values(), b"docs/", b"window"):
        assert secret[:64] not in stored
    assert len(bench.keys("manifests/")) == 1


@shows("store owner", "adds")
def test_objects_that_the_owner_adds_are_not_believed(bench: Bench) -> None:
    (manifest,) = bench.keys("manifests/")
    bench.store.create(manifest[:-1] + "2", bench.store.get(manifest))
    bench.store.create(PackKey.of(digest(b"junk"), meta=False), b"junk")
    bench.store.create("indexes/" + digest(b"junk").hex(), b"junk")
    repository = bench.open()
    points, errors = repository.points.readable()
    assert (len(points), len(errors)) == (1, 1)
    assert content_of(opened(bench, reader_keys()), points[0]) == bench.source.files
    assert bench.backup().sequence == 3


@shows("store owner", "deletes")
def test_what_the_owner_deletes_is_missed(bench: Bench) -> None:
    (point,) = bench.open().points.all()
    bench.store.delete(max(bench.keys("packs/")))
    assert list(findings(bench, bench.open(), ReadShare(cycle=0))) == [point.id]


@shows("store owner", "forges")
@pytest.mark.parametrize("prefix", ["packs/", "meta/", "indexes/", "manifests/", "keys/"])
def test_what_the_owner_alters_is_refused(bench: Bench, prefix: str) -> None:
    key = next(key for key in sorted(bench.keys(prefix)) if prefix != "keys/" or key.endswith(".recipient"))
    bench.damage(key)
    repository = bench.open()
    with pytest.raises(DamageError):
        repository.objects.plain(key)


@shows("store owner", "forges")
def test_the_owner_cannot_make_the_repository_an_unencrypted_one(bench: Bench, tmp_path: Path) -> None:
    init_repository(DirectoryStore(str(tmp_path / "plain")), bench.clock)
    (bench.root / "repository.json").write_bytes((tmp_path / "plain/repository.json").read_bytes())
    with pytest.raises(KeyMissingError, match="not encrypted"):
        bench.open()


@shows("store owner", "hides")
def test_the_newest_points_are_hidden_with_all_their_traces_only(bench: Bench) -> None:
    bench.clock.advance(hours=1)
    newest = bench.backup()
    bench.open().proofs.record(Proof(newest.id, ProofMethod.VERIFY, True, bench.clock.now(), 1.0), newest)
    bench.store.delete(bench.open().points.key(newest))

    def lost() -> Sequence[str]:
        repository = bench.open()
        return find_losses(repository, repository.points.all(), (), complete=True).texts()

    assert len(lost()) == 1
    for key in bench.keys("ledger/proofs/"):
        bench.store.delete(key)
    assert lost() == []
    assert newest.window.key not in {point.window.key for point in bench.open().points.all()}, "it is missed"


# A writer


@shows("writer", "reads")
def test_a_writer_reads_names_and_no_contents(bench: Bench) -> None:
    repository = bench.open()
    (point,) = repository.points.all()
    assert b"a file name that must not show" in [e.stat.path for e in repository.reader(point).entries()]
    with pytest.raises(KeyMissingError):
        content_of(repository, point)
    known = [blob for blob, _ in ids_of(repository, bench.source.files[b"docs/small"])]
    assert repository.indexes().contents.locate(known[0]), "that it holds known data is seen"


@shows("writer", "adds")
def test_a_writer_adds_recipients_that_the_list_shows(bench: Bench) -> None:
    ring = KeyRing(bench.open(), bench.clock)
    ring.add(recipient(1))
    assert recipient(1) in [each.text for each in ring.recipients()]
    point = bench.backup()
    assert point.sequence == 2


@shows("writer", "adds")
def test_later_packs_open_for_whom_a_writer_chose(bench: Bench) -> None:
    ring = KeyRing(bench.open(), bench.clock)
    ring.add(recipient(1))
    ring.retire(recipient(0))
    bench.source.files = {}
    bench.source.write(b"later", noise(3_000, 8))
    later = bench.backup()
    assert content_of(opened(bench, reader_keys(1)), later) == bench.source.files
    with pytest.raises(KeyMissingError):
        content_of(opened(bench, reader_keys(0)), later)
    assert len([each for each in ring.recipients() if each.retired_at]) == 1


@shows("writer", "deletes")
@shows("holder of an identity", "deletes")
@pytest.mark.parametrize("keys", [writer_keys(), all_keys()], ids=["writer", "identity"])
def test_who_has_the_repository_key_releases_holds(bench: Bench, keys: object) -> None:
    bench.held = keys  # type: ignore[assignment]
    (point,) = bench.open().points.all()
    Holds(bench.open(), bench.clock).place(point.id, "case 4711", legal=True)
    Holds(bench.open(AddOnly(str(bench.root))), bench.clock).release(point.id, "none", legal=True)
    assert Holds(bench.open(), bench.clock).in_force() == {}


@shows("writer", "deletes")
@shows("holder of an identity", "deletes")
@pytest.mark.parametrize("keys", [writer_keys(), all_keys()], ids=["writer", "identity"])
def test_writing_needs_no_right_to_delete(bench: Bench, keys: object) -> None:
    bench.held = keys  # type: ignore[assignment]
    store = AddOnly(str(bench.root))
    before = bench.keys()
    bench.source.write(b"new", noise(2_000, 9))
    assert bench.backup(store).sequence == 2
    assert before <= bench.keys()


@shows("writer", "forges")
def test_a_writer_forges_points_proofs_and_what_others_refer_to(bench: Bench) -> None:
    forger = Bench(bench.root, encrypted=True, clock=bench.clock)
    forger.held, forger.source.name = writer_keys(), "of somebody else"
    forger.source.write(b"a", b"false")
    forged = forger.backup()
    forger.open().proofs.record(Proof(forged.id, ProofMethod.DRILL, True, bench.clock.now(), 1.0), forged)
    repository = opened(bench, all_keys())
    assert findings(bench, repository) == {}, "it is authentic"
    assert standing(forged, repository.proofs.by_point()[forged.id]).state is State.PROVEN
    vendor = noise(50_000, 5)
    lie(forger.open(), vendor)
    bench.source.write(b"vendor", vendor)
    point = bench.backup()
    assert unvouched_of(bench.open(), point) == len(vendor)


@shows("writer", "hides")
@shows("holder of an identity", "hides")
def test_a_record_of_forgetting_hides_no_point_that_is_there(bench: Bench) -> None:
    repository = bench.open(AddOnly(str(bench.root)))
    (point,) = repository.points.all()
    forget_record(repository, point)
    assert bench.open().points.all() == [point]
    with pytest.raises(StoreRefusedError):
        repository.points.delete(point)


# Who has an identity


@shows("holder of an identity", "reads")
def test_an_identity_reads_what_was_stored_while_it_was_a_recipient(bench: Bench) -> None:
    (first,) = bench.open().points.all()
    add(bench, 1)
    with pytest.raises(KeyMissingError):
        content_of(opened(bench, reader_keys(1)), first)
    KeyRing(opened(bench, reader_keys(0)), bench.clock).rewrap()
    assert content_of(opened(bench, reader_keys(1)), first) == bench.source.files
    retire(bench, 0)
    bench.source.write(b"later", noise(3_000, 8))
    later = bench.backup()
    assert content_of(opened(bench, reader_keys(0)), first)[b"docs/small"]
    with pytest.raises(KeyMissingError):
        content_of(opened(bench, reader_keys(0)), later)


@shows("holder of an identity", "adds", "forges")
def test_an_identity_opens_the_repository_key_and_so_writes(bench: Bench) -> None:
    bench.held = reader_keys()
    point = bench.backup()
    assert point.sequence == 2
    assert findings(bench, opened(bench, writer_keys())) == {}


# A pruner


@shows("pruner", "reads", "adds", "forges")
def test_a_pruner_holds_what_a_writer_holds(bench: Bench) -> None:
    """It needs no identity: with the key of a writer it prunes."""
    assert not bench.open().cipher.reads_contents
    assert prune(bench).refused == 0


@shows("pruner", "deletes", "hides")
def test_a_pruner_deletes_points_with_their_records_and_packs(bench: Bench) -> None:
    bench.source.files = {}
    bench.source.write(b"other", noise(2_000, 4))
    bench.backup()
    repository = bench.open()
    first = repository.points.all()[0]
    before = bench.keys("packs/")
    forget_record(repository, first)
    repository.points.delete(first)
    for _ in range(2):
        prune(bench)
    assert before - bench.keys("packs/")
    for key in bench.keys("ledger/forgotten/"):
        bench.store.delete(key)
    assert first.id not in {point.id for point in bench.open().points.all()}


# A restorer


@shows("restorer", "reads", "adds", "deletes", "forges", "hides")
def test_a_restorer_needs_no_right_but_to_read(bench: Bench) -> None:
    before = bench.keys()
    repository = Repository(ReadOnly(str(bench.root)), bench.clock, keys=reader_keys())
    (point,) = repository.points.all()
    assert content_of(repository, point) == bench.source.files
    bench.held = reader_keys()
    with pytest.raises(StoreRefusedError):
        bench.backup(ReadOnly(str(bench.root)))
    assert bench.keys() == before


# Who reads the state directory, and who knows a public key


@shows("reader of the state", "reads")
def test_the_state_directory_holds_no_name_no_content_and_no_key(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a-name-that-must-not-show").write_bytes(b"a content that must not show")
    plan = tmp_path / "backup.yaml"
    plan.write_text(
        f"repository: {{path: {tmp_path}/store, key_file: {tmp_path}/repository.key}}\nstate: {tmp_path}/state\n"
        f"sources: {{a_source: {{files: {tmp_path}/source, every: day}}}}\n"
    )
    App.load(str(plan)).setup.init(recipients=[recipient()])
    point = App.load(str(plan)).backups.run("a_source").point
    kept = {path: path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file()}
    assert any(point.id.encode() in data for data in kept.values())
    held = b"".join(str(path.relative_to(tmp_path)).encode() + data for path, data in kept.items())
    for secret in (b"must-not-show", b"must not show", b"a_source", b"BACKUP-PLATFORM-KEY"):
        assert secret not in held


@shows("who knows a public key", "forges")
def test_a_repository_of_somebody_else_to_the_same_key_is_refused(bench: Bench, tmp_path: Path) -> None:
    store = DirectoryStore(str(tmp_path / "theirs"))
    init_repository(store, ManualClock(), key=bytes(32), recipients=[recipient()])
    with pytest.raises(RepositoryError):
        Repository(store, bench.clock, keys=all_keys())
