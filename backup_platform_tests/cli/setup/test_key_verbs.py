"""`key …` and `init --recipient`, first against an application in memory, then with real repositories."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from backup_platform.errors import KeyMissingError
from backup_platform_tests.cli.conftest import Cli, Ran, Verbs
from backup_platform_tests.cli.fake import NOON, make_point
from backup_platform_tests.support import IDENTITIES, recipient

VERBS = ["generate", "add", "retire", "list", "test", "rewrap", "export"]


def stored(number: int = 0, **changes: Any) -> Any:
    base = {"text": recipient(number), "added_at": NOON, "retired_at": None, "tested_at": None}
    return SimpleNamespace(**{**base, **changes})


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_of_the_group_has_help_like_any_other(cli: Cli, verb: str) -> None:
    ran = cli("key", verb, "--help")
    assert ran.code == 0
    assert f"backup-platform key {verb}" in ran.out.partition("Example")[2]
    for part in ("--plan FILE", "--json", "Exit codes:"):
        assert part in ran.out


def test_the_group_lists_its_verbs_and_the_program_lists_the_group(cli: Cli) -> None:
    listed = cli("key", "--help").out
    assert all(f"\n  {verb} " in listed for verb in VERBS)
    assert "\n  key " in cli("--help").out
    ran = cli("key", "lst")
    assert ran.code == 2
    assert "list" in ran.err
    assert cli("key").code == 2


def test_a_listing_of_recipients(cli: Cli) -> None:
    cli.app.answers["keys.recipients"] = [
        stored(0, tested_at=NOON),
        stored(1, retired_at=NOON + timedelta(days=1)),
    ]
    assert cli("key", "list").out == (
        "fingerprint  0abcd-0abcd-0abcd-0abcd-0abcd-0abcd-0abcd-0abcd\n"
        f"{recipient(0)}  since 2026-11-22  tested 2026-11-22\n"
        f"{recipient(1)}  retired 2026-11-23  never tested\n"
    )
    document = cli("key", "list", "--json").document
    assert document["recipients"][0] == {
        "recipient": recipient(0),
        "added_at": "2026-11-22T12:00:00Z",
        "retired_at": None,
        "tested_at": "2026-11-22T12:00:00Z",
    }


def test_a_test_says_what_was_opened_and_when_it_was_tested_before(cli: Cli) -> None:
    cli.app.answers["keys.test"] = [
        SimpleNamespace(recipient=stored(), point=make_point(), pack="packs/aa/x"),
        SimpleNamespace(recipient=stored(tested_at=NOON - timedelta(days=400)), point=None, pack=""),
    ]
    out = cli("key", "test").out
    assert f"PASSED: {recipient()} opens shop@2026-11-22 (one pack read).\n" in out
    assert "before this one: never.\n" in out
    assert "2025-10-18" in out
    assert "no contents to read" in out
    assert cli("key", "test", "--json").document["tests"][1]["point"] is None


def test_a_missing_key_is_exit_code_12(cli: Cli) -> None:
    cli.app.answers["keys.rewrap"] = KeyMissingError("no identity here", hint="Fetch it.")
    ran = cli("key", "rewrap")
    assert (ran.code, ran.err) == (12, "error [key-missing]: no identity here\nhint: Fetch it.\n")


def test_one_recipient_is_warned_about(cli: Cli) -> None:
    cli.app.answers["init"] = SimpleNamespace(
        id="ab" * 16, location="/r", created_at=NOON, encryption="age-v1", fingerprint="0abcd"
    )
    assert "one recipient" in cli("init", "--recipient", recipient(0)).out
    ran = cli("init", "--recipient", recipient(0), "--recipient", recipient(1))
    assert "one recipient" not in ran.out
    assert cli.app.calls[-1] == ("init", {"recipients": (recipient(0), recipient(1)), "copy_of": None})


# With real repositories

PLAN = """
repository: {path: repository, key_file: repository.key, identity_file: identity}
sources:
  uploads: {files: uploads, every: day}
"""
Command = Callable[..., Ran]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for variable in ("BACKUP_PLATFORM_KEY_FILE", "BACKUP_PLATFORM_IDENTITY_FILE", "BACKUP_PLATFORM_PLAN"):
        monkeypatch.delenv(variable, raising=False)
    (tmp_path / "backup.yaml").write_text(PLAN)
    (tmp_path / "uploads").mkdir()
    (tmp_path / "uploads" / "a name").write_text("content")
    for number, name in enumerate(("identity", "second")):
        (tmp_path / name).write_text(IDENTITIES[number])
        (tmp_path / name).chmod(0o600)
    return tmp_path


@pytest.fixture
def run(world: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    verbs = Verbs(capsys)

    def command(*arguments: str, code: int = 0) -> Ran:
        done = verbs(*arguments, code=code)
        assert not any(text[20:50] in done.out + done.err for text in IDENTITIES)
        return done

    return command


def made(run: Command) -> None:
    run("init", "--recipient", recipient(0))
    run("backup")


def test_generate_writes_an_identity_that_works(run: Command, world: Path) -> None:
    (world / "identity").unlink()
    public = json.loads(run("key", "generate", "identity", "--json").out)["recipient"]
    assert stat.S_IMODE((world / "identity").stat().st_mode) == 0o600
    run("init", "--recipient", public)
    run("backup")
    run("restore", "uploads@latest", "--to", "out")
    assert (world / "out" / "a name").read_text() == "content"
    assert "File exists" in run("key", "generate", "identity", code=2).err


def test_init_makes_the_key_file(run: Command, world: Path) -> None:
    made(run)
    assert stat.S_IMODE((world / "repository.key").stat().st_mode) == 0o600
    assert "encryption age-v1" in run("doctor", code=1).out
    assert run("init", "--recipient", recipient(0), code=1).err.startswith("error [object-exists]")


def test_a_plan_with_a_key_and_no_recipient_is_refused(run: Command, world: Path) -> None:
    assert "no recipient is given" in run("init", code=2).err
    assert not (world / "repository").exists()
    assert "private key" in run("init", "--recipient", IDENTITIES[1], code=2).err


def test_a_host_that_writes(run: Command, world: Path) -> None:
    made(run)
    (world / "identity").unlink()
    (world / "uploads" / "b").write_text("more")
    run("backup", "--force")
    assert "a name" in run("ls", "uploads@latest").out
    verified = run("verify")
    assert "PASSED" in verified.out
    assert "not decoded: 2 packs" in verified.out
    assert (
        "ok    proof of uploads: no drill is recorded yet: drills need a host with an identity"
        in run("doctor", code=1).out
    )
    for arguments in (("restore", "uploads@latest", "--to", "out"), ("drill", "uploads@latest")):
        error = run(*arguments, code=12).err
        assert "error [key-missing]" in error
        assert recipient(0) in error
        assert "BACKUP_PLATFORM_IDENTITY_FILE" in error
    assert not (world / "out").exists()
    run("key", "test", code=12)


def test_a_host_that_restores(run: Command, world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(run)
    (world / "repository.key").unlink()
    run("restore", "uploads@latest", "--to", "out")
    run("key", "export", "repository.key")
    (world / "identity").unlink()
    run("backup", "--force")
    (world / "repository.key").unlink()
    assert "repository.key: No such file" in run("points", code=12).err
    monkeypatch.setenv("BACKUP_PLATFORM_IDENTITY_FILE", "second")
    assert "belongs to a recipient" in run("points", code=12).err


def test_the_environment_goes_before_the_plan(
    run: Command, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(run)
    (world / "moved").mkdir()
    shutil.move(world / "repository.key", world / "moved" / "key")
    shutil.move(world / "identity", world / "moved" / "identity")
    monkeypatch.setenv("BACKUP_PLATFORM_KEY_FILE", "moved/key")
    run("points")
    run("drill", "uploads@latest", code=12)
    monkeypatch.setenv("BACKUP_PLATFORM_IDENTITY_FILE", str(world / "moved" / "identity"))
    run("drill", "uploads@latest")


def test_keys_behind_references(run: Command, world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(run)
    plan = PLAN.replace("repository.key", '"${file:mounted}"').replace(
        "file: identity", 'file: "${env:IDENTITY}"'
    )
    (world / "backup.yaml").write_text(plan)
    (world / "repository.key").rename(world / "mounted")
    (world / "mounted").chmod(0o644)  # as orchestrators mount secrets
    run("points")
    assert "${env:IDENTITY}" in run("drill", "uploads@latest", code=12).err
    monkeypatch.setenv("IDENTITY", IDENTITIES[0])
    run("drill", "uploads@latest")


def test_a_key_file_that_others_may_read(run: Command, world: Path) -> None:
    made(run)
    os.chmod("repository.key", 0o640)
    assert "mode 0640" in run("backup", code=12).err


def test_rotation(run: Command, world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(run)
    run("key", "test")
    run("key", "add", recipient(1))
    both = [recipient(0), recipient(1)]
    done = json.loads(run("key", "rewrap", "--json").out)
    assert (done["packs"], sorted(done["to"]), done["recipients"]) == (1, sorted(both), [])
    run("key", "retire", recipient(0))
    listed = json.loads(run("key", "list", "--json").out)["recipients"]
    assert [bool(each["retired_at"]) for each in listed] == [True, False]
    assert [bool(each["tested_at"]) for each in listed] == [True, False]
    monkeypatch.setenv("BACKUP_PLATFORM_IDENTITY_FILE", "second")
    run("restore", "uploads@latest", "--to", "out")
    assert (world / "out" / "a name").read_text() == "content"
    assert "last test before this one: never" in run("key", "test").out
    assert "last recipient" in run("key", "retire", recipient(1), code=2).err


def test_keys_of_a_repository_that_is_not_encrypted(run: Command, world: Path) -> None:
    (world / "backup.yaml").write_text(
        PLAN.replace(", key_file: repository.key, identity_file: identity", "")
    )
    run("init")
    refused = run("key", "list", code=2).err
    assert "is not encrypted, so it has no keys and no recipients" in refused
    assert (
        "name a new place and a key_file in the plan, then `backup-platform init --recipient age1" in refused
    )
    (world / "backup.yaml").write_text(PLAN)
    assert "says that it is not encrypted" in run("backup", code=12).err


def test_checks_on_a_host_that_writes_say_that_no_drill_is_possible(run: Command, world: Path) -> None:
    from backup_platform.app import App

    made(run)
    (world / "identity").rename(world / "away")
    app = App.load()
    verdicts = {check.name: check for check in app.proofs.checks(app.points.find("uploads@latest"))}
    assert (verdicts["drill"].passed, verdicts["drill"].ran, verdicts["drill"].severity) == (
        False,
        False,
        "warn",
    )
    assert verdicts["drill"].summary.startswith(
        "not drilled: no identity on this host opens the contents; none"
    )
    assert "no identity here" in verdicts["stored"].summary
    (world / "away").rename(world / "identity")
    run("drill", "uploads@latest")
    (world / "identity").unlink()
    verdicts = {check.name: check for check in App.load().proofs.checks(app.points.find("uploads@latest"))}
    assert verdicts["drill"].passed, "what another host proved counts"
