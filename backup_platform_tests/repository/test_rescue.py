"""rescue.py, alone in a directory, restores real repositories, and of damaged ones what there is."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from backup_platform.actions.backup.run import BackupJob
from backup_platform.domain.model import Proof, ProofMethod
from backup_platform.repository.encryption import age, bech32
from backup_platform.repository.objects.names import META, PACKS
from backup_platform.repository.records.acceptances import accept_point
from backup_platform.sources.files.source import FileTreeSource
from backup_platform.sources.sqlite.source import SqliteSource
from backup_platform_tests.repository.rescuing import PROGRAMS, Rescue
from backup_platform_tests.sources.files_support import assert_same_tree, odd_tree, remove_tree
from backup_platform_tests.sources.sqlite_support import shop
from backup_platform_tests.support import (
    IDENTITIES,
    REPOSITORY_KEY,
    Bench,
    QuietProgress,
    flipped,
    noise,
    recipient,
    text,
)

GOLDEN = Path(__file__).parents[1] / "golden"
KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFCHR: "chardev",
    stat.S_IFBLK: "blockdev",
    stat.S_IFSOCK: "socket",
}


@pytest.fixture(scope="module")
def rescue(tmp_path_factory: pytest.TempPathFactory) -> Rescue:
    return Rescue.prepare(tmp_path_factory.mktemp("rescue"))


def key_file(folder: Path, *keys: str) -> Path:
    """As people keep them: with comments, and with keys of other things."""
    path = folder / "keys.txt"
    path.write_text("\n".join(["# created: 2026-11-22", *keys, ""]))
    return path


def as_file(bench: Bench, folder: Path) -> list[object]:
    return ["--key", key_file(folder, IDENTITIES[0])] if bench.encrypted else []


# Whole ones


def found_in(root: bytes, row: dict[str, Any]) -> dict[str, Any]:
    """What the file system says of a restored row, in the form of `expected.json`."""
    path = os.path.join(root, bytes.fromhex(row["path"]))
    st = os.lstat(path)
    kind = KINDS[stat.S_IFMT(st.st_mode)]
    content = b""
    if kind == "file":
        with open(path, "rb") as file:
            for offset, length in row["extents"] or [[0, row["size"]]]:
                file.seek(offset)
                content += file.read(length)
    return {
        "kind": kind,
        "mode": stat.S_IMODE(st.st_mode),
        "size": st.st_size if kind == "file" else row["size"],
        "mtime_ns": st.st_mtime_ns,
        "link_target": os.readlink(path).hex() if kind == "symlink" else None,
        "content": blake3(content).hexdigest(),
    }


@pytest.mark.parametrize(
    ("repository", "identity", "number"),
    [
        ("format1", "", 0),
        ("format1", "", 1),
        ("format1-encrypted", "identity-first.txt", 1),
        ("format1-encrypted", "identity-later.txt", 0),
    ],
)
def test_the_golden_repositories(
    rescue: Rescue, tmp_path: Path, repository: str, identity: str, number: int
) -> None:
    expected = json.loads((GOLDEN / repository / "expected.json").read_text())
    keys = ["--key", GOLDEN / repository / identity] if identity else []
    said = rescue.restore(
        *keys,
        GOLDEN / repository / "repository",
        "restore",
        expected["ids"][number][:9],
        tmp_path / "to",
        lost=True,
    )
    rows = [
        row
        for row in expected["points"][number]["rows"]
        if row["status"] in ("ok", "changed") and not row["hardlink"]
    ]
    for row in rows:
        found = found_in(os.fsencode(tmp_path / "to"), row)
        assert found == {name: row[name] for name in found}
    assert os.stat(tmp_path / "to/dir/hard link").st_nlink == 2
    assert os.getxattr(tmp_path / "to/dir/empty", "user.x") == b"\0\1"
    for row in expected["points"][number]["rows"]:
        if row["status"] != "ok":
            assert row["problem"] in said


class Sources:
    """A repository of a tree with every oddity, and of a database in use."""

    def __init__(self, folder: Path, *, encrypted: bool) -> None:
        self.bench = Bench(folder / "repository", encrypted=encrypted)
        self.tree, self.database = folder / "tree", folder / "shop.db"
        odd_tree(self.tree)
        (self.tree / "all-hole").unlink()  # takes seconds to compare
        (self.tree / "large").write_bytes(text(3_000_000, 5))
        shop(self.database, mode="wal")
        clock = self.bench.clock
        for source in (
            FileTreeSource("docs", str(self.tree), clock),
            SqliteSource("shop", str(self.database), 5, clock),
        ):
            job = BackupJob(source, self.bench.schedule, self.bench.open(), clock)
            job.run(None, force=True, progress=QuietProgress())


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
def test_real_trees_and_databases(rescue: Rescue, tmp_path: Path, encrypted: bool) -> None:
    made = Sources(tmp_path, encrypted=encrypted)
    where = [*as_file(made.bench, tmp_path), made.bench.root]
    listed = rescue.restore(*where, "list")
    assert "docs@" in listed
    assert "no proof" in listed
    rescue.restore(*where, "restore", "docs@latest", tmp_path / "restored tree")
    assert_same_tree(made.tree, tmp_path / "restored tree")
    rescue.restore(*where, "restore", "shop@latest", tmp_path / "restored")
    with (
        closing(sqlite3.connect(tmp_path / "restored" / "shop.db")) as restored,
        closing(sqlite3.connect(made.database)) as live,
    ):
        assert restored.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert list(restored.iterdump()) == list(live.iterdump())
    remove_tree(made.tree)
    remove_tree(tmp_path / "restored tree")


def test_it_needs_nothing_else(tmp_path: Path) -> None:
    """Of an unencrypted repository not even cryptography."""
    few = Rescue.prepare(tmp_path / "few", ("pyarrow", "blake3"))
    few.restore(GOLDEN / "format1" / "repository", "list")
    done = few.run(
        "--key",
        GOLDEN / "format1-encrypted/identity-first.txt",
        GOLDEN / "format1-encrypted/repository",
        "list",
    )
    assert "pip install cryptography" in done.stderr
    none = Rescue.prepare(tmp_path / "none", ()).run(GOLDEN / "format1" / "repository", "list")
    assert (none.returncode, "pip install pyarrow blake3" in none.stderr) == (1, True)
    for name in ("rescue.py", "rescue_tables.py"):
        assert "import backup_platform" not in (PROGRAMS / name).read_text()
        assert "from backup_platform" not in (PROGRAMS / name).read_text()


# Parts, and names


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Two points of one source; the second has one more file. Small enough for one pack of each kind."""
    made = Bench(tmp_path / "repository")
    made.source.write(b"a/small", text(2_000, 1))
    made.source.write(b"a/large", noise(900_000, 3))
    made.source.write(b"b", text(70_000, 4))
    made.backup()
    made.clock.advance(hours=1)
    made.source.write(b"c/new", noise(300_000, 7))
    made.backup()
    return made


def contents(root: Path) -> dict[bytes, bytes]:
    return {p.relative_to(root).as_posix().encode(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_chosen_paths_of_an_older_point(rescue: Rescue, bench: Bench, tmp_path: Path) -> None:
    rescue.restore(bench.root, "restore", "docs@2026-11-22T02", tmp_path / "to", "a/", "b")
    assert contents(tmp_path / "to") == {
        name: bench.source.files[name] for name in (b"a/small", b"a/large", b"b")
    }
    listed = rescue.restore(bench.root, "list", "docs@2026-11-22T02")
    assert "900,000  a/large" in listed
    assert "c/new" not in listed


def test_a_path_that_matches_nothing_is_told(rescue: Rescue, bench: Bench, tmp_path: Path) -> None:
    done = rescue.run(bench.root, "restore", "docs@latest", tmp_path / "to", "b", "mistyped/")
    assert done.returncode == 3
    assert "!! mistyped was not found in docs@" in done.stderr
    assert b"b" in contents(tmp_path / "to")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["list", "docs@2027"], "names 0 recovery points"),
        (["list", "docs@2026"], "names 2 recovery points"),
        (["list", "docs@"], "names 2 recovery points"),
        (["restore", "@latest", "/nowhere"], "names 0 recovery points"),
        (["restore", "latest", "/nowhere"], "names 2 recovery points"),
        (["restore", "docs@latest"], "needs POINT and DIRECTORY"),
        (["restore", "docs@latest", "/"], "is not empty"),
    ],
)
def test_what_cannot_be_done(rescue: Rescue, bench: Bench, arguments: list[str], expected: str) -> None:
    done = rescue.run(bench.root, *arguments)
    assert done.returncode not in (0, 3)
    assert expected in done.stderr


# Damaged ones


def damage(bench: Bench, key: str, harm: str) -> None:
    path = bench.root / key
    data = path.read_bytes()
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(flipped(data, len(data) // 3) if harm == "flipped" else data[: len(data) // 2])


@pytest.mark.parametrize(
    ("harm", "encrypted"), [("flipped", False), ("flipped", True), ("cut", True), ("gone", False)]
)
def test_a_damaged_pack_costs_the_files_that_are_in_it(
    rescue: Rescue, tmp_path: Path, harm: str, encrypted: bool
) -> None:
    made = Bench(tmp_path / "repository", encrypted=encrypted)
    made.source.write(b"first", text(9_000, 1))
    made.backup()
    (kept,) = made.keys(PACKS)
    made.source.write(b"second", noise(300_000, 2))
    made.backup()
    (key,) = made.keys(PACKS) - {kept}
    damage(made, key, harm)
    where = [*as_file(made, tmp_path), made.root]
    said = rescue.restore(*where, "restore", "docs@latest", tmp_path / "to", lost=True)
    assert key in said
    assert "of 300,000 bytes are lost" in said
    found, lost = contents(tmp_path / "to"), json.loads((tmp_path / "to/lost.json").read_text())
    assert found[b"first"] == made.source.files[b"first"]
    assert set(found) == {b"first", b"second.damaged", b"lost.json"}
    expected = bytearray(made.source.files[b"second"])
    for start, stop in lost["second"]:
        expected[start:stop] = bytes(stop - start)
    assert found[b"second.damaged"] == expected


def test_the_blobs_of_a_damaged_pack_that_are_whole_are_used(rescue: Rescue, tmp_path: Path) -> None:
    """Of 20 MB behind one flipped bit, a chunk is lost and no more: also where it is encrypted."""
    made = Bench(tmp_path / "repository", encrypted=True)
    made.source.write(b"file", noise(6_000_000, 2))
    made.backup()
    (key,) = made.keys(PACKS)
    damage(made, key, "flipped")
    where = [*as_file(made, tmp_path), made.root]
    rescue.restore(*where, "restore", "docs@latest", tmp_path / "to", lost=True)
    lost = json.loads((tmp_path / "to/lost.json").read_text())["file"]
    expected = bytearray(made.source.files[b"file"])
    for start, stop in lost:
        expected[start:stop] = bytes(stop - start)
    assert contents(tmp_path / "to")[b"file.damaged"] == expected
    assert 0 < sum(stop - start for start, stop in lost) < 4 << 20


def test_a_pack_that_was_deleted_and_is_still_indexed_is_not_missed(rescue: Rescue, tmp_path: Path) -> None:
    made = Bench(tmp_path / "repository")
    made.source.write(b"first", noise(300_000, 2))
    made.backup()
    (deleted,) = made.keys(PACKS)
    damage(made, deleted, "gone")
    made.source.write(b"another", b"which makes another pack of it")
    made.source.write(b"first", made.source.files[b"first"])
    made.backup()
    (kept,) = made.keys(PACKS)
    assert kept != deleted
    assert "!!" not in rescue.restore(made.root, "restore", "docs@latest", tmp_path / "to")
    assert contents(tmp_path / "to") == made.source.files


def lose_indexes(bench: Bench) -> None:
    for number, key in enumerate(sorted(bench.keys("indexes/"))):
        damage(bench, key, ["flipped", "gone"][number % 2])


def lose_root(bench: Bench) -> None:
    damage(bench, "repository.json", "gone")


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
@pytest.mark.parametrize("lose", [lose_indexes, lose_root])
def test_what_can_be_done_without_is_done_without(
    rescue: Rescue, tmp_path: Path, lose: Callable[[Bench], None], encrypted: bool
) -> None:
    made = Bench(tmp_path / "repository", encrypted=encrypted)
    made.source.write(b"first", text(9_000, 1))
    made.backup()
    made.source.write(b"second", noise(3_000_000, 2))
    made.backup()
    lose(made)
    where = [*as_file(made, tmp_path), made.root]
    rescue.restore(*where, "restore", "docs@latest", tmp_path / "to", lost=True)
    assert contents(tmp_path / "to") == made.source.files


def test_a_damaged_manifest_costs_its_point(rescue: Rescue, bench: Bench, tmp_path: Path) -> None:
    newest = max(bench.keys("manifests/"))
    damage(bench, newest, "flipped")
    said = rescue.restore(bench.root, "restore", "docs@latest", tmp_path / "to", lost=True)
    assert newest in said
    assert set(contents(tmp_path / "to")) == {b"a/small", b"a/large", b"b"}


def test_a_manifest_that_was_moved_is_refused(rescue: Rescue, bench: Bench) -> None:
    first, second = sorted(bench.keys("manifests/"))
    shutil.copy(bench.root / first, bench.root / second)
    said = rescue.restore(bench.root, "list", lost=True)
    assert "belongs elsewhere" in said
    assert said.count("docs@") == 1


def test_of_a_damaged_inventory_the_other_rows_are_restored(
    rescue: Rescue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backup_platform.repository.points.inventory.ROW_GROUP", 1 << 10)
    made = Bench(tmp_path / "repository")
    for number in range(12_000):
        made.source.write(noise(120, number).hex().encode(), b"")
    made.backup()
    (key,) = made.keys(META)
    damage(made, key, "flipped")
    said = rescue.restore(made.root, "list", "docs@latest", lost=True)
    assert "rows are lost" in said
    assert "the inventory of docs@" in said
    assert 1_000 <= said.count("file ") < 12_000


# Keys


def test_a_repository_key_lists_and_does_not_open_contents(rescue: Rescue, tmp_path: Path) -> None:
    made = Bench(tmp_path / "repository", encrypted=True)
    made.source.write(b"first", text(9_000, 1))
    made.backup()
    shutil.rmtree(made.root / "keys")
    key = bech32.encode("backup-platform-key-", REPOSITORY_KEY).upper()
    only_key = key_file(tmp_path, key)
    assert "first" in rescue.restore("--key", only_key, made.root, "list", "docs@latest")
    said = rescue.restore("--key", only_key, made.root, "restore", "docs@latest", tmp_path / "to", lost=True)
    assert "no identity given opens it" in said
    both = key_file(tmp_path, key, IDENTITIES[0])
    rescue.restore("--key", both, made.root, "restore", "docs@latest", tmp_path / "too")
    assert contents(tmp_path / "too") == made.source.files


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ([], "give --key FILE"),
        ([IDENTITIES[1]], "No key given opens the repository"),
        ([IDENTITIES[0][:-1] + "Q"], "mistyped or cut short"),
        ([bech32.encode("backup-platform-key-", bytes(32))], "another repository"),
        (["nothing"], "have no line AGE-SECRET-KEY-1"),
    ],
    ids=["none", "other", "mistyped", "other repository", "no key"],
)
def test_without_the_right_key(rescue: Rescue, tmp_path: Path, keys: list[str], expected: str) -> None:
    made = Bench(tmp_path / "repository", encrypted=True)
    done = rescue.run(*(["--key", key_file(tmp_path, *keys)] if keys else []), made.root, "list")
    assert (done.returncode, expected in done.stderr) == (1, True), done.stderr


def test_the_fingerprint_tells_whether_it_is_the_right_repository(rescue: Rescue, tmp_path: Path) -> None:
    made, key = Bench(tmp_path / "repository", encrypted=True), key_file(tmp_path, IDENTITIES[0])
    fingerprint = made.open().info.fingerprint
    assert f"fingerprint {fingerprint}\n" in rescue.restore("--key", key, made.root, "list")
    rescue.restore("--key", key, "--fingerprint", fingerprint, made.root, "list")
    other = Bench(tmp_path / "other", encrypted=True)
    done = rescue.run("--key", key, "--fingerprint", fingerprint, other.root, "list")
    assert (done.returncode, "not the repository of --fingerprint" in done.stderr) == (1, True), done.stderr
    plain = Bench(tmp_path / "plain")
    assert f"fingerprint {plain.open().info.fingerprint}\n" in rescue.restore(plain.root, "list")
    done = rescue.run("--key", key, plain.root, "list")
    assert (done.returncode, "was it exchanged?" in done.stderr) == (1, True), done.stderr


def test_a_key_that_somebody_else_wrapped_hides_no_other(rescue: Rescue, tmp_path: Path) -> None:
    made, key = Bench(tmp_path / "repository", encrypted=True), key_file(tmp_path, IDENTITIES[0])
    forged, _ = age.encrypt(bytes(32), [age.Recipient(recipient(0))])
    (made.root / "keys" / ("0" * 64)).write_bytes(forged)
    assert made.open().info.fingerprint in rescue.restore("--key", key, made.root, "list")


def test_the_latest_is_no_suspect_point_until_it_is_accepted(rescue: Rescue, tmp_path: Path) -> None:
    bench = Bench(tmp_path / "repository")
    bench.source.write(b"a", b"1")
    good = bench.backup()
    bench.source.remove(b"a")
    suspect = bench.backup()
    assert suspect.is_suspect
    assert f"{suspect.id[:12]}" in rescue.restore(bench.root, "list")
    assert ", suspect" in rescue.restore(bench.root, "list")
    rescue.restore(bench.root, "restore", "docs@latest", tmp_path / "before")
    assert (tmp_path / "before/a").read_bytes() == b"1"
    accept_point(bench.open().objects, suspect.id, "so be it", bench.clock.now())
    assert ", suspect" not in rescue.restore(bench.root, "list")
    rescue.restore(bench.root, "restore", "docs@latest", tmp_path / "after")
    assert os.listdir(tmp_path / "after") == []
    assert good.window == suspect.window, "also of one window"


def test_what_others_wrote_into_the_ledger_is_no_acceptance_and_no_proof(
    rescue: Rescue, tmp_path: Path
) -> None:
    bench = Bench(tmp_path / "repository", encrypted=True)
    bench.source.write(b"a", b"1")
    bench.backup()
    bench.source.remove(b"a")
    suspect = bench.backup()
    key = key_file(tmp_path, IDENTITIES[0])
    name = f"{suspect.id}/20261122T021500.000000Z-drill-passed-01234567"
    for made_up in (f"proofs/{name}", f"proofs/{name}-{'ab' * 16}", f"accepted/{suspect.id}/{'ab' * 8}"):
        bench.store.create(f"ledger/{made_up}", b"")
    listed = rescue.restore("--key", key, bench.root, "list")
    assert "no proof, suspect" in listed
    proof = Proof(suspect.id, ProofMethod.DRILL, True, bench.clock.now(), 1.0)
    bench.open().proofs.record(proof, suspect)
    accept_point(bench.open().objects, suspect.id, "so be it", bench.clock.now())
    assert "drill passed\n" in rescue.restore("--key", key, bench.root, "list")
