"""A repository that was exchanged for another one, which the same identities open."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from backup_platform.repository.encryption import bech32
from backup_platform.repository.objects.info import RepositoryInfo, read_info
from backup_platform.stores.object_store import DirectoryStore
from backup_platform_tests.cli.conftest import Verbs
from backup_platform_tests.docs.cells import shows
from backup_platform_tests.sources.files_support import NOBODY, PRIVILEGED, as_nobody, remove_tree
from backup_platform_tests.support import IDENTITIES, REPOSITORY_KEY, recipient

FOREIGN_KEY = bytes(range(32, 64))
VERBS = (
    ["points"],
    ["verify"],
    ["drill", "docs@latest"],
    ["key", "list"],
    ["show", "docs@latest"],
    ["ls", "docs@latest"],
    ["backup"],
    ["restore", "docs@latest", "--to", "taken"],
)


@dataclass
class Hosts:
    """A store, a host that writes to it, and others that only have an identity, each with a state of its own."""

    root: Path
    capsys: pytest.CaptureFixture[str]

    @property
    def store(self) -> Path:
        return self.root / "store"

    def verbs(self, state: str, *, key: bytes | None = None, identity: bool = False, more: str = "") -> Verbs:
        folder = self.root / state
        folder.mkdir(exist_ok=True)
        files = self._key(folder, key) + (", identity_file: identity" if identity else "")
        text = f"repository: {{path: {self.store}{files}{more}}}\nstate: {folder}/state\nsources:\n"
        (folder / "backup.yaml").write_text(f"{text}  docs: {{files: {self.root}/docs, every: day}}\n")
        self._write(folder / "identity", IDENTITIES[0])
        return Verbs(self.capsys, folder / "backup.yaml")

    def _key(self, folder: Path, key: bytes | None) -> str:
        if key is None:
            return ""
        self._write(folder / "key", bech32.encode("backup-platform-key-", key).upper())
        return ", key_file: key"

    def _write(self, path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o600)

    def swap(self) -> str:
        """By one of somebody who knows the recipient and no key; its fingerprint."""
        self.store.rename(self.root / "genuine")
        forger = self.verbs("forger", key=FOREIGN_KEY)
        forger("init", "--recipient", recipient(0), code=0)
        forger("backup", code=0)
        return self.info().fingerprint

    def info(self) -> RepositoryInfo:
        return read_info(DirectoryStore(str(self.store)))


@pytest.fixture
def hosts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Hosts:
    return _written(Hosts(tmp_path, capsys))


@pytest.fixture
def open_hosts(capsys: pytest.CaptureFixture[str]) -> Iterator[Hosts]:
    """Where every user reaches them."""
    root = Path(tempfile.mkdtemp(prefix="backup-platform-test-"))
    root.chmod(0o755)
    yield _written(Hosts(root, capsys))
    remove_tree(root)


def _written(made: Hosts) -> Hosts:
    (made.root / "docs").mkdir()
    (made.root / "docs" / "one").write_text("content")
    writer = made.verbs("writer", key=REPOSITORY_KEY)
    writer("init", "--recipient", recipient(0), code=0)
    writer("backup", code=0)
    return made


def _findings(run: Verbs) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in run("doctor", "--json").document["findings"]}


def _make_unreadable(state: Path) -> None:
    shutil.rmtree(state)
    state.write_text("no directory")


def _give_all_but(state: Path, mode: str) -> None:
    """A service user gets everything; root ran first, and keeps its state."""
    subprocess.run(["chmod", "-R", mode, state], check=True)
    if PRIVILEGED:
        subprocess.run(["chown", "-R", str(NOBODY), state.parent.parent], check=True)
        subprocess.run(["chown", "-R", "0", state], check=True)


def test_every_place_that_tells_the_fingerprint_tells_the_same(hosts: Hosts) -> None:
    genuine, run = hosts.info().fingerprint, hosts.verbs("writer", key=REPOSITORY_KEY)
    assert run("show", "docs@latest", "--json", code=0).document["repository"]["fingerprint"] == genuine
    assert run("key", "list", "--json", code=0).document["fingerprint"] == genuine
    assert genuine in run("show", "docs@latest").out
    told = {each["name"]: each for each in run("doctor", "--json").document["findings"]}
    assert told["fingerprint"]["ok"]
    assert genuine in told["fingerprint"]["detail"]


@shows("who knows a public key", "forges")
@pytest.mark.parametrize("known", ["pinned", "remembered"])
def test_a_swapped_repository_is_refused_by_every_verb(hosts: Hosts, known: str) -> None:
    genuine = hosts.info().fingerprint
    more = f", fingerprint: {genuine.upper()}" if known == "pinned" else ""
    run = hosts.verbs("restorer", identity=True, more=more)
    if known == "remembered":
        run("points", code=0)
    forged = hosts.swap()
    for words in VERBS:
        ran = run(*words, code=12)
        assert "error [repository-changed]" in ran.err
        assert genuine in ran.err
        assert forged in ran.err
        assert "hint: Compare with the recovery sheet first." in ran.err
    assert run("doctor").code == 1
    assert not os.path.exists("taken")
    accepted = hosts.verbs("restorer", identity=True, more=f", fingerprint: {forged}")
    accepted("points", code=0)
    hosts.verbs("restorer", identity=True)("points", code=0)


def test_recipients_do_not_change_it(hosts: Hosts) -> None:
    genuine, run = hosts.info().fingerprint, hosts.verbs("writer", key=REPOSITORY_KEY, identity=True)
    run("key", "add", recipient(1), code=0)
    run("key", "retire", recipient(1), code=0)
    run("key", "rewrap", code=0)
    assert run("key", "list", "--json", code=0).document["fingerprint"] == genuine


def test_where_nothing_vouches_for_a_repository_what_hands_data_out_says_so(
    hosts: Hosts, tmp_path: Path
) -> None:
    run = hosts.verbs("restorer", identity=True)
    for words in (["points"], ["show", "docs@latest"], ["ls", "docs@latest"]):
        assert "vouches" not in run(*words, code=0).err, words
    assert run("doctor").out.count("nothing vouches for this repository") == 1
    ran = run("restore", "docs@latest", "--to", str(tmp_path / "one"), "--json", code=0)
    assert hosts.info().fingerprint in ran.document["unknown_repository"][0]
    assert "vouches" not in run("restore", "docs@latest", "--to", str(tmp_path / "two"), code=0).err
    shutil.rmtree(tmp_path / "restorer" / "state")
    ran = run("drill", "docs@latest", code=0)
    assert ran.err.count("warning: Nothing vouches for the repository") == 1
    shutil.rmtree(tmp_path / "restorer" / "state")
    assert "vouches" in run("cat", "docs@latest", "one", code=0).err
    told = next(line for line in ran.err.splitlines() if "vouches" in line).replace(str(hosts.store), "STORE")
    assert max(len(sentence.split()) for sentence in told.split(". ")) <= 18, "one fact a sentence"
    assert "recovery sheet" in told
    shutil.rmtree(tmp_path / "restorer" / "state")
    with_key = hosts.verbs("restorer", identity=True, key=REPOSITORY_KEY)
    assert "vouches" not in with_key("drill", "docs@latest", code=0).err


def test_an_unencrypted_repository_is_vouched_for_by_its_pin_and_by_who_made_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hosts = Hosts(tmp_path, capsys)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "one").write_text("content")
    run = hosts.verbs("writer")
    run("init", code=0)
    run("backup", code=0)
    assert run("drill", "docs@latest", code=0).err.count("vouches") == 0
    shutil.rmtree(tmp_path / "writer" / "state")
    assert "It is not encrypted." in run("drill", "docs@latest", code=0).err
    shutil.rmtree(tmp_path / "writer" / "state")
    pinned = hosts.verbs("writer", more=f", fingerprint: {hosts.info().fingerprint}")
    assert pinned("drill", "docs@latest", code=0).err.count("vouches") == 0


def test_init_makes_no_other_repository_than_the_plan_says(hosts: Hosts) -> None:
    genuine = hosts.info().fingerprint
    hosts.store.rename(hosts.root / "genuine")
    pinned = hosts.verbs("writer", key=REPOSITORY_KEY, more=f", fingerprint: {genuine}")
    assert "repository.fingerprint" in pinned("init", "--recipient", recipient(0), code=2).err
    assert not hosts.store.exists()
    free = hosts.verbs("writer", key=REPOSITORY_KEY)
    assert f"Before, {genuine} was there" in free("init", "--recipient", recipient(0), code=0).out
    assert hosts.info().fingerprint != genuine


def test_a_copy_has_the_fingerprint_of_the_first_one(hosts: Hosts, tmp_path: Path) -> None:
    plan = tmp_path / "writer" / "backup.yaml"
    genuine, text = hosts.info().fingerprint, plan.read_text()
    two = f"repositories:\n  main: {{path: {hosts.store}, key_file: key}}\n  offsite: {{path: {tmp_path}/copy}}\n"
    rest = text[text.index("state:") :].replace("every: day", "every: day, repositories: [main, offsite]")
    plan.write_text(two + rest)
    run = Verbs(hosts.capsys, plan)
    assert (
        run("init", "--repository", "offsite", "--json", code=0).document["repository"]["fingerprint"]
        == genuine
    )
    run("copy", code=0)
    for note in (tmp_path / "writer" / "state" / "fingerprints").iterdir():
        if json.loads(note.read_text())["location"] == f"{tmp_path}/copy":
            note.unlink()
    (tmp_path / "copy").rename(tmp_path / "genuine-copy")
    forger = hosts.verbs("forger", key=FOREIGN_KEY)
    forger_plan = tmp_path / "forger" / "backup.yaml"
    forger_plan.write_text(forger_plan.read_text().replace(str(hosts.store), f"{tmp_path}/copy"))
    forger("init", "--recipient", recipient(0), code=0)
    ran = run("--repository", "offsite", "points", code=12)
    assert "is that of main" in ran.err


def test_a_state_that_cannot_be_read_lets_no_verb_use_a_repository(hosts: Hosts) -> None:
    run, state = hosts.verbs("writer", key=REPOSITORY_KEY, identity=True), hosts.root / "writer" / "state"
    hosts.swap()
    _make_unreadable(state)
    for words in VERBS:
        ran = run(*words, code=1)
        assert f"cannot be read from {state}/fingerprints/" in ran.err, words
        assert "Not a directory" in ran.err
        assert "chown" in ran.err
    assert not os.path.exists("taken")
    told = _findings(run)
    assert str(state) in told["repository"]["detail"]


def test_a_state_of_another_user_is_not_taken_for_an_empty_one(open_hosts: Hosts) -> None:
    run, state = open_hosts.verbs("restorer", identity=True), open_hosts.root / "restorer" / "state"
    run("points", code=0)
    open_hosts.swap()
    _give_all_but(state, "0")
    with as_nobody():
        assert "Permission denied" in run("points", code=1).err
    subprocess.run(["chmod", "-R", "u+rwX", state], check=True)
    run("points", code=12)


def test_a_pin_decides_where_the_state_cannot_be_read_and_doctor_says_it(hosts: Hosts) -> None:
    genuine, state = hosts.info().fingerprint, hosts.root / "writer" / "state"
    more = f", fingerprint: {genuine}, recipients: [{recipient(0)}]"
    run = hosts.verbs("writer", key=REPOSITORY_KEY, identity=True, more=more)
    _make_unreadable(state)
    run("points", code=0)
    run("backup", code=0)
    told = _findings(run)
    assert told["fingerprint"]["ok"]
    assert f"cannot be read from {state}" in told["fingerprint"]["detail"]
    assert not told["stored points"]["ok"]
    assert f"{state}/known/" in told["stored points"]["detail"]
    hosts.swap()
    run("points", code=12)


def test_recipients_that_cannot_be_looked_up_get_no_backup(hosts: Hosts) -> None:
    more, state = f", fingerprint: {hosts.info().fingerprint}", hosts.root / "writer" / "state"
    run = hosts.verbs("writer", key=REPOSITORY_KEY, identity=True, more=more)
    _make_unreadable(state)
    run("points", code=0)
    (hosts.root / "docs" / "one").write_text("other content")
    for words in (["backup", "--force"], ["key", "rewrap"]):
        assert f"cannot be read from {state}/recipients/" in run(*words, code=1).err


def test_a_state_that_can_be_read_and_not_written_still_compares(open_hosts: Hosts) -> None:
    run, state = open_hosts.verbs("restorer", identity=True), open_hosts.root / "restorer" / "state"
    run("points", code=0)
    _give_all_but(state, "a+rX,a-w")
    with as_nobody():
        run("points", code=0)
    open_hosts.swap()
    _give_all_but(state, "a+rX,a-w")
    with as_nobody():
        assert "repository-changed" in run("points", code=12).err


def test_where_no_state_can_be_made_nothing_is_remembered(open_hosts: Hosts) -> None:
    run, state = open_hosts.verbs("restorer", identity=True), open_hosts.root / "restorer" / "state"
    state.mkdir()
    _give_all_but(state, "a+rX,a-w")
    with as_nobody():
        run("points", code=0)
        assert not _findings(run)["fingerprint"]["ok"]
    assert not list(state.iterdir())
