"""Every verb on real sources and a real repository: once as a process of its own, in which none of them loads Dagster,
and otherwise in this one."""

from __future__ import annotations

import ctypes
import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from backup_platform.cli.entry import main

RUN = """
import sys
from backup_platform.cli.entry import main
code = main()
assert not [name for name in sys.modules if name.startswith("dagster")]
sys.exit(code)
"""
ODD = b"caf\xe9\n\x1b[2J"
PLAN = """
repository: {{path: {root}/repository}}
sources:
  shop: {{sqlite: {root}/shop.db, every: month, timezone: Europe/Berlin, lock_timeout: 20s}}
  uploads: {{files: {root}/uploads, exclude: ["*.tmp"], every: week}}
"""


@dataclass
class World:
    """Two sources, a plan and a place for a repository."""

    root: Path

    @property
    def plan(self) -> str:
        return str(self.root / "backup.yaml")

    def start(self, *arguments: str, before: Callable[[], None] | None = None) -> subprocess.Popen[str]:
        env = {**os.environ, "XDG_STATE_HOME": str(self.root / "state"), "HOME": str(self.root)}
        command = [sys.executable, "-c", RUN, "--plan", self.plan, *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=env, preexec_fn=before)

    def alone(
        self, *arguments: str, code: int = 0, before: Callable[[], None] | None = None
    ) -> tuple[str, str]:
        """In a process of its own."""
        process = self.start(*arguments, before=before)
        out, err = process.communicate(timeout=120)
        return ended(arguments, (process.returncode, code), out, err)

    def run(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.setenv("XDG_STATE_HOME", str(self.root / "state"))
            patch.setenv("HOME", str(self.root))
            found = main(["--plan", self.plan, *arguments])
        return ended(arguments, (found, code), out.getvalue(), err.getvalue())

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.run(*arguments, "--json", code=code)[0])


def ended(words: tuple[str, ...], codes: tuple[int, int], out: str, err: str) -> tuple[str, str]:
    assert codes[0] == codes[1], (words, out, err)
    assert "Traceback" not in err
    return out, err


def make_world(root: Path) -> World:
    uploads = root / "uploads"
    uploads.mkdir(parents=True)
    for number in range(50):
        (uploads / f"{number:02d}.txt").write_text(f"file {number}\n" * number)
    (uploads / "skip.tmp").write_text("not wanted")
    (uploads / "link").symlink_to("01.txt")
    Path(os.fsdecode(os.fsencode(uploads) + b"/" + ODD)).write_text("odd")
    with closing(sqlite3.connect(root / "shop.db")) as connection, connection:
        connection.execute("create table orders (id integer primary key, item text)")
        connection.executemany("insert into orders (item) values (?)", ((f"item {n}",) for n in range(5000)))
    (root / "backup.yaml").write_text(PLAN.format(root=root))
    return World(root)


@pytest.fixture
def empty(tmp_path: Path) -> World:
    return make_world(tmp_path)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A world that was backed up once; its tests only read it, or add proofs."""
    world = make_world(tmp_path_factory.mktemp("kept"))
    world.run("init")
    world.run("backup")
    return world


def test_from_nothing_to_a_restored_source(empty: World) -> None:
    assert "Made repository" in empty.alone("init")[0]
    out, _ = empty.alone("backup")
    assert "shop: stored, window " in out
    assert "uploads: stored, window " in out
    assert "unproven" in empty.alone("points", "shop")[0]
    for source in ("shop", "uploads"):
        assert empty.alone("drill", f"{source}@latest")[0].startswith("PASSED: ")
    states = [point["state"] for point in empty.json("points")["points"]]
    assert states == ["proven", "proven"]
    target = empty.root / "restored"
    assert "written and read back" in empty.alone("restore", "uploads@latest", "--to", str(target))[0]
    compare = ["diff", "-r", "--no-dereference", "--exclude=*.tmp", str(empty.root / "uploads"), str(target)]
    assert subprocess.run(compare, capture_output=True, check=False).stdout == b""
    assert "kept the point that the window already has" in empty.alone("backup", "shop")[0]


@pytest.mark.parametrize(
    ("words", "code"), [("show shop@latest", 0), ("ls uploads@latest", 0), ("verify", 0), ("doctor", 1)]
)
def test_a_verb_that_reads_does_so_in_a_process_of_its_own(kept: World, words: str, code: int) -> None:
    assert kept.alone(*words.split(), code=code) != ("", "")


def test_the_command_of_show_restores_the_database(kept: World, tmp_path: Path) -> None:
    document = kept.json("show", "shop@latest")
    assert document["point"]["facts"]
    command = document["restore"]["all"].split()
    assert command[:3] == ["backup-platform", "--plan", kept.plan]
    assert command[3:5] == ["restore", document["point"]["id"][:12]]
    kept.run(*command[3:-1], str(tmp_path / "out"))
    (restored,) = (tmp_path / "out").glob("*.db")
    with closing(sqlite3.connect(restored)) as connection:
        assert connection.execute("select count(*) from orders").fetchone() == (5000,)


def test_one_path_is_restored_alone_and_nothing_is_replaced_unasked(kept: World, tmp_path: Path) -> None:
    target = str(tmp_path)
    plan = kept.json("restore", "uploads@latest", "02.txt", "--to", target, "--dry-run")
    assert (plan["plan"]["files"], os.listdir(target)) == (1, [])
    kept.run("restore", "uploads@latest", "02.txt", "--to", target)
    assert os.listdir(target) == ["02.txt"]
    (tmp_path / "02.txt").write_text("mine")
    error = kept.json("restore", "uploads@latest", "02.txt", "--to", target, code=1)["error"]
    assert error["code"] == "target-unusable"
    kept.run("restore", "uploads@latest", "02.txt", "--to", target, "--dry-run", code=1)
    assert (tmp_path / "02.txt").read_text() == "mine"
    kept.run("restore", "uploads@latest", "02.txt", "--to", target, "--overwrite")
    assert (tmp_path / "02.txt").read_text() == "file 2\n" * 2


def test_ls_lists_everything_and_any_name_can_be_asked_for(kept: World, tmp_path: Path) -> None:
    out, _ = kept.run("ls", "uploads@latest")
    assert out.count(".txt\n") == 51  # 50 files and the target of the link
    assert "$'caf\\xe9\\n\\e[2J'" in out
    assert "skip.tmp" not in out
    (entry,) = kept.json("ls", "uploads@latest", os.fsdecode(ODD))["entries"]
    assert entry["path_b64"] == "Y2Fm6QobWzJK"
    kept.run("restore", "uploads@latest", os.fsdecode(ODD), "--to", str(tmp_path))
    assert os.listdir(os.fsencode(tmp_path)) == [ODD]


def test_diff_of_two_captures_of_a_window(empty: World) -> None:
    empty.run("init")
    first = empty.json("backup", "uploads")["results"][0]["point"]["id"]
    (empty.root / "uploads" / "new.txt").write_text("new")
    (empty.root / "uploads" / "03.txt").unlink()
    (empty.root / "uploads" / "04.txt").write_text("changed")
    (empty.root / "uploads" / "05.txt").chmod(0o600)
    second = empty.json("backup", "uploads", "--force")["results"][0]["point"]["id"]
    marks = set(empty.alone("diff", first[:12], second[:12])[0].splitlines())
    assert {"+ new.txt", "- 03.txt", "M 04.txt", "m 05.txt"} <= marks
    assert not [mark for mark in marks if "06.txt" in mark]


@pytest.mark.parametrize("read", ["all", "50%", "none"])
def test_verify(kept: World, read: str) -> None:
    result = kept.json("verify", "--read", read)
    assert (result["passed"], result["points"], result["findings"]) == (True, 2, [])
    assert (result["packs_read"] == result["packs"]) >= (read == "all")
    assert (result["bytes_read"] == 0) >= (read == "none")


@pytest.mark.parametrize("read", ["some", "0%", "101%", ""])
def test_an_odd_share_is_wrong_usage(kept: World, read: str) -> None:
    assert kept.json("verify", "--read", read, code=2)["error"]["code"] == "usage"


def test_damage_is_found_told_and_remembered(kept: World, tmp_path: Path) -> None:
    shutil.copytree(kept.root, tmp_path / "copy", symlinks=True)
    world = World(tmp_path / "copy")
    Path(world.plan).write_text(PLAN.format(root=world.root))
    packs = [file for file in (world.root / "repository" / "packs").rglob("*") if file.is_file()]
    for pack in packs:
        data = bytearray(pack.read_bytes())
        data[len(data) // 2] ^= 1
        pack.chmod(0o600)
        pack.write_bytes(data)
    result = world.json("verify", code=1)
    assert not result["passed"]
    assert {finding["point"] for finding in result["findings"]} >= {
        world.json("show", "shop@latest")["point"]["id"]
    }
    out, _ = world.run("points")
    assert out.count("FAILED proof") == 2
    assert " proven" not in out
    world.run("drill", "shop@latest", code=1)


def drop_the_right_to_read_everything() -> None:
    """Before exec: root without CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH is bound by modes as others are."""
    libc = ctypes.CDLL(None)
    for capability in (1, 2):
        libc.prctl(24, capability, 0, 0, 0)


def test_an_unreadable_file_makes_it_incomplete_everywhere(empty: World, tmp_path: Path) -> None:
    empty.run("init")
    (empty.root / "uploads" / "07.txt").chmod(0)
    out, _ = empty.alone("backup", code=3, before=drop_the_right_to_read_everything)
    assert "uploads: INCOMPLETE" in out
    assert "unreadable: 07.txt" in out
    assert "shop: stored" in out
    assert "incomplete, 1 problem" in empty.run("points")[0]
    empty.run("drill", "uploads@latest")
    assert " proven" not in empty.run("points", "uploads")[0]
    assert "07.txt" in empty.run("restore", "uploads@latest", "--to", str(tmp_path / "out"), code=3)[0]


def test_one_source_that_fails_does_not_stop_the_others(empty: World) -> None:
    empty.run("init")
    (empty.root / "shop.db").unlink()
    out, err = empty.run("backup", code=1)
    assert "shop: FAILED" in out
    assert "uploads: stored" in out
    assert "error [source-missing]: shop: " in err


def test_what_is_missing_has_its_own_exit_code(empty: World) -> None:
    assert empty.json("backup", code=10)["error"]["code"] == "repository-missing"
    assert empty.json("points", code=10)["error"]["code"] == "repository-missing"
    empty.run("init")
    assert empty.run("points")[0] == "There are no recovery points yet.\n"
    assert empty.json("init", code=1)["error"]["code"] == "object-exists"
    assert empty.json("show", "shop@latest", code=11)["error"]["code"] == "not-found"
    assert empty.json("backup", "nothing", code=11)["error"]["code"] == "not-found"
    assert empty.json("backup", "shop", "--window", "2001-01-01", code=1)["error"]["code"] == "window-closed"


def test_a_path_that_is_not_there_is_not_found(kept: World, tmp_path: Path) -> None:
    kept.run("ls", "uploads@latest", "nothing", code=11)
    kept.run("restore", "uploads@latest", "nothing", "--to", str(tmp_path), code=11)


@pytest.mark.parametrize("text", ["", "repository: {path: x}\nsource: {}\n", "{", None])
def test_a_wrong_plan_is_exit_code_2(empty: World, text: str | None) -> None:
    if text is None:
        os.unlink(empty.plan)
    else:
        Path(empty.plan).write_text(text)
    error = empty.json("points", code=2)["error"]
    assert error["code"] == "plan-invalid"
    assert "backup.yaml" in error["message"]


def test_the_plan_is_found_by_the_variable_and_in_the_directory(kept: World) -> None:
    command = [sys.executable, "-m", "backup_platform.cli.entry", "points", "--json"]
    variable = {"BACKUP_PLATFORM_PLAN": kept.plan}
    places: list[tuple[str, dict[str, str]]] = [("/", variable), (str(kept.root), {})]
    for directory, env in places:
        done = subprocess.run(
            command, cwd=directory, env={**os.environ, **env}, capture_output=True, check=True
        )
        assert len(json.loads(done.stdout)["points"]) == 2


def test_doctor_finds_what_is_wrong(kept: World) -> None:
    findings = {finding["name"]: finding for finding in kept.json("doctor", code=1)["findings"]}
    assert findings["repository"]["ok"]
    assert not findings["alerts"]["ok"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_backup_is_clean_and_the_next_one_works(empty: World, number: signal.Signals) -> None:
    empty.run("init")
    with (empty.root / "uploads" / "large").open("wb") as file:
        for _ in range(250):
            file.write(os.urandom(1 << 20))
    process = empty.start("backup", "uploads", "--json")
    packs = empty.root / "repository" / "packs"
    wait_until(lambda: any(path.is_file() for path in packs.rglob("*")))
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert json.loads(out)["error"]["code"] == "interrupted"
    assert err.startswith("error [interrupted]: interrupted\nhint: What was stored so far is kept")
    assert "Traceback" not in err
    (empty.root / "uploads" / "large").unlink()
    empty.run("backup")
    assert empty.json("verify")["passed"]


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
