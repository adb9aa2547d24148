"""The output of a program: what is kept of it, what is a failure, and what nobody is shown."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from backup_platform.app import App
from backup_platform.clock import SILENT
from backup_platform.domain.model import RecoveryPoint
from backup_platform.errors import (
    PlanError,
    SourceError,
    SourceFormatError,
    SourceMissingError,
    StoreError,
    TimeLimitError,
)
from backup_platform.orchestration.build import build_definitions
from backup_platform.orchestration.translator import BackupTranslator
from backup_platform.sources.command.last_words import CHARACTERS, KEPT, LastWords
from backup_platform.stores.opening import open_store
from backup_platform.testing import SourceContract
from backup_platform.testing.source_contract import NoRoomForPacks
from backup_platform_tests.cli.conftest import Verbs

SECRET = "s3cret/with space&more"


@dataclass
class Dump:
    path: Path

    @property
    def settings(self) -> str:
        return f"command: [cat, {self.path}], check: [test, -s, '{{file}}'], filename: dump"

    @property
    def nowhere(self) -> str:
        return "command: [no-such-program-here, --all]"

    def change(self) -> None:
        self.path.write_bytes(os.urandom(200_000))


class TestCommand(SourceContract):
    @pytest.fixture
    def subject(self, tmp_path: Path) -> Dump:
        dump = Dump(tmp_path / "dump")
        dump.change()
        return dump


@dataclass
class Made:
    """A source in a plan of its own; what it runs is a script of a shell."""

    home: Path

    def app(self, script: str, more: str = "", env: str = "") -> App:
        words = json.dumps(["sh", "-c", script])
        plan = self.home / "backup.yaml"
        plan.write_text(
            f"repository: {{path: {self.home}/repository}}\n"
            f"sources:\n  it: {{command: {words}, env: {{{env}}}, every: day{more}}}\n"
        )
        app = App.load(os.fspath(plan))
        if not (self.home / "repository").exists():
            app.setup.init()
        return app

    def backup(self, script: str, more: str = "", env: str = "") -> RecoveryPoint:
        return self.app(script, more, env).backups.run("it", force=True).point

    def failure(self, script: str, more: str = "", env: str = "") -> SourceError:
        """Of a backup that stores no point."""
        app = self.app(script, more, env)
        with pytest.raises(SourceError) as caught:
            app.backups.run("it", force=True)
        assert app.points.all() == []
        assert caught.value.hint
        return caught.value


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)


def alive(process: int) -> bool:
    """Not a zombie either."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def is_over(process: int) -> bool:
    end = time.monotonic() + 5
    while alive(process) and time.monotonic() < end:
        time.sleep(0.01)
    return not alive(process)


def test_the_facts_are_of_the_bytes_that_were_read(made: Made) -> None:
    point = made.backup("printf 'one\ntwo\n'; echo careful >&2", ", filename: dump.txt")
    assert point.facts == {
        "command": "sh -c " + shlex.quote("printf 'one\ntwo\n'; echo careful >&2"),
        "bytes": 8,
        "sha256": hashlib.sha256(b"one\ntwo\n").hexdigest(),
        "standard_error": "careful",
    }
    assert [entry.stat.path for entry in made.app("true").points.entries(point.id)] == [b".", b"dump.txt"]


def test_an_exit_status_is_a_failure_with_the_last_words(made: Made) -> None:
    error = made.failure("echo some data; printf 'no \033[2Jaccess\n' >&2; exit 3")
    assert error.message == "sh ended with exit status 3. It said: no \\x1b[2Jaccess"
    assert error.retryable


def test_a_signal_is_a_failure(made: Made) -> None:
    assert "sh was ended by the signal SIGKILL" in made.failure("echo some data; kill -9 $$").message


def test_a_program_that_closes_its_output_and_then_fails_is_a_failure(made: Made) -> None:
    assert "exit status 4" in made.failure("echo some data; exec >&-; sleep 0.2; exit 4").message


def test_the_output_of_what_is_left_in_the_background_belongs_to_it(made: Made) -> None:
    assert made.backup("(sleep 0.2; echo late) & echo early").facts["bytes"] == len("early\nlate\n")


def test_at_the_end_nothing_of_it_stays(made: Made) -> None:
    note = made.home / "pid"
    made.backup(f"echo data; sleep 60 >&- 2>&- & echo $! > {note}")
    assert is_over(int(note.read_text()))


@pytest.mark.parametrize("start", ["", "setsid "])
def test_what_never_stops_to_complain_in_the_background_does_not_keep_it(made: Made, start: str) -> None:
    note = made.home / "pid"
    endless = f"{start}sh -c 'echo $$ > {note}; exec yes complaint >&2' >&- &"
    point = made.backup(f"{endless} while ! test -s {note}; do sleep 0.01; done; echo data", ", timeout: 30s")
    assert point.facts["bytes"] == len("data\n")
    assert is_over(int(note.read_text()))


def test_the_time_limit_kills_the_whole_group(made: Made) -> None:
    note, began = made.home / "pid", time.monotonic()
    error = made.failure(f"echo data; echo slow >&2; sleep 60 & echo $! > {note}; wait", ", timeout: 1s")
    assert error.message == "sh was ended after 1.0 s, its `timeout`. It said: slow"
    assert time.monotonic() - began < 20
    assert is_over(int(note.read_text()))


def test_the_time_limit_ends_one_that_closed_its_output(made: Made) -> None:
    assert "`timeout`" in made.failure("echo data; exec >&- 2>&-; sleep 60", ", timeout: 1s").message


def test_a_failure_of_the_store_ends_the_program(made: Made) -> None:
    note = made.home / "pid"
    app = made.app(f"echo $$ > {note}; head -c 40000000 /dev/urandom; exec sleep 60")
    app.repository.objects.store = NoRoomForPacks(open_store(app.repository.info.location).store)
    with pytest.raises(StoreError):
        app.backups.run("it")
    assert is_over(int(note.read_text()))


def test_dagster_has_it_as_an_asset(made: Made) -> None:
    graph = build_definitions(BackupTranslator(made.app("echo data"))).resolve_asset_graph()
    (asset,) = [key for key in graph.materializable_asset_keys if key.path[-1] == "it"]
    assert graph.get(asset).kinds == {"command", "backup"}
    assert "sh -c 'echo data'" in str(graph.get(asset).description)


def test_too_short_an_output_is_a_failure(made: Made) -> None:
    error = made.failure("echo short; echo reason >&2", ", min_size: 1kB")
    assert isinstance(error, SourceFormatError)
    assert error.message == "sh wrote 6 bytes, and `min_size` is 1,000 bytes. It said: reason"
    assert "wrote 0 bytes" in made.failure("true").message


def test_an_output_that_was_emptied_is_suspect(made: Made) -> None:
    assert not made.backup("echo data").is_suspect
    assert made.backup("true", ", min_size: 0").is_suspect


def test_what_is_unchanged_is_stored_once(made: Made) -> None:
    data = made.home / "data"
    data.write_bytes(random.Random(1).randbytes(3_000_000))
    first = made.backup(f"cat {data}")
    with data.open("r+b") as file:
        file.seek(1_500_000)
        file.write(b"changed")
    second = made.backup(f"cat {data}")
    assert first.stats.new_bytes > 2_900_000
    assert second.stats.new_bytes < 1_500_000


def test_a_program_that_is_not_there_is_missing(made: Made) -> None:
    plan = made.home / "backup.yaml"
    made.app("true")
    for words, where in (("[no-such-program, x]", "in the directories of PATH"), ("[./none]", "none.")):
        plan.write_text(
            f"repository: {{path: {made.home}/repository}}\nsources: {{it: {{command: {words}, every: day}}}}\n"
        )
        with pytest.raises(SourceMissingError, match=where) as caught:
            App.load(os.fspath(plan)).backups.run("it")
        assert caught.value.hint == "Install it for this user, or write its full path in the plan."


def test_a_program_runs_where_the_plan_is_with_what_it_needs_of_the_environment(
    made: Made, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SECRET_OF_ANOTHER", SECRET)
    monkeypatch.setenv("PGPASSWORD", SECRET)
    point = made.backup("pwd; env", env="MINE: yes it is")
    assert "MINE=yes it is" in text_of(made, point)
    assert text_of(made, point).startswith(f"{tmp_path}\n")
    names = {line.partition("=")[0] for line in text_of(made, point).splitlines()}
    assert "PATH" in names
    assert not {"SECRET_OF_ANOTHER", "PGPASSWORD"} & names


def text_of(made: Made, point: RecoveryPoint) -> str:
    target = made.home / f"restored-{time.monotonic_ns()}"
    app = made.app("true")
    app.restores.run(app.restores.plan(point.id, to=str(target)))
    return (target / "output").read_text()


class TestSecrets:
    """The program gets them in its environment. Nobody else is told, whatever the program says."""

    @pytest.fixture
    def env(self, made: Made) -> str:
        (made.home / "secret").write_text(SECRET + "\n")
        return "DUMP_PASSWORD: '${file:secret}', USER_NAME: dumper"

    def test_the_program_has_it_and_its_words_do_not(self, made: Made, env: str) -> None:
        seen = made.home / "seen"
        made.backup(
            f'printf %s "$DUMP_PASSWORD" > {seen}; cat /proc/$$/cmdline > {seen}.words; echo data', env=env
        )
        assert seen.read_text() == SECRET
        assert SECRET.encode() not in (made.home / "seen.words").read_bytes()
        assert SECRET not in os.environ.values()

    def test_it_is_in_no_error_and_no_note(
        self, made: Made, env: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        verbs = Verbs(capsys, made.home / "backup.yaml")
        encoded = made.home / "encoded"
        encoded.write_text(f"as %20 {quote(SECRET, safe='')}\n")
        telling = f'echo "password $DUMP_PASSWORD" >&2; cat {encoded} >&2'
        error = made.failure(f"{telling}; exit 1", env=env)
        assert error.message.count("(secret)") == 2
        assert "s3cret" not in repr((error.message, error.said, error.hint, str(error)))
        for options in ((), ("--json",)):
            ran = verbs(*options, "backup", "it")
            assert ran.code == 1
            assert "s3cret" not in ran.out + ran.err
        point = made.backup(f"{telling}; echo data", env=env)
        assert point.facts["standard_error"] == "password (secret)\nas %20 (secret)"
        shown = verbs("--json", "show", point.id)
        assert "s3cret" not in shown.out + shown.err + repr(made.app("true", env=env).sources.build("it"))
        manifest = made.app("true").points.manifest_path(point)
        assert b"s3cret" not in (made.home / "repository" / manifest).read_bytes()

    def test_a_host_that_restores_needs_none(self, made: Made, env: str) -> None:
        """And `check` gets none."""
        seen = made.home / "seen"
        point = made.backup("echo data", env=env)
        (made.home / "secret").unlink()
        check = json.dumps(["sh", "-c", f"env > {seen}"])
        assert made.app("echo data", f", check: {check}", env).proofs.drill(point.id).report.differences == ()
        assert "DUMP_PASSWORD" not in seen.read_text()

    @pytest.mark.parametrize("length", [1, 7, 700])
    def test_a_cut_shows_no_part_of_it(self, length: int) -> None:
        secret = "".join(chr(ord("0") + n % 70) for n in range(length))
        for shift in range(0, 3 * length, max(1, length // 3)):
            said = LastWords([secret])
            text = b"~" * shift + (secret.encode() + b"~") * (3 * KEPT // (length + 1))
            for start in range(0, len(text), 1_000):
                said.add(text[start : start + 1_000])
            kept = said._without_secrets().replace(b"(secret)", b"")
            assert set(kept) <= set(b"~")
            assert len(said.text()) <= CHARACTERS + 1

    def test_lines_of_a_longer_one(self) -> None:
        said = LastWords(["BEGIN\nabcdef\nEND"])
        said.add(b"key: abcdef\r\n50%\r100%\n")
        assert said.lines() == ["key: (secret)", "50%", "100%"]

    def test_memory_is_bounded(self) -> None:
        said = LastWords()
        for _ in range(100):
            said.add(b"x" * 100_000 + b"\n")
        said.add(b"the end")
        assert said.text().endswith("the end")
        assert len(said._bytes) <= KEPT


class TestDrill:
    def drilled(self, made: Made, check: list[str], **limit: Any) -> Any:
        point = made.backup("echo data")
        return made.app("echo data", f", check: {json.dumps(check)}").proofs.drill(point.id, **limit)

    @pytest.mark.parametrize("check", [["grep", "-q", "data"], ["grep", "-q", "data", "{file}"]])
    def test_a_check_reads_the_stream(self, made: Made, check: list[str]) -> None:
        report = self.drilled(made, check).report
        assert (report.differences, report.compared["check"]) == ((), "passed")

    def test_a_check_that_fails_fails_the_drill(self, made: Made) -> None:
        result = self.drilled(made, ["sh", "-c", "echo bad magic; echo and more >&2; exit 2"])
        assert not result.proof.passed
        (difference,) = result.report.differences
        assert difference.startswith("The check sh ended with exit status 2. It said: ")
        assert "bad magic" in difference
        assert "and more" in difference

    def test_a_check_that_is_not_there_proves_nothing(self, made: Made) -> None:
        with pytest.raises(SourceMissingError):
            self.drilled(made, ["no-such-program"])
        assert made.app("true").proofs.by_point() == {}

    def test_a_check_that_does_not_end_proves_nothing(self, made: Made) -> None:
        point = made.backup("echo data")
        check = json.dumps(["sleep", "60"])
        app = made.app("echo data", f", check: {check}, max_runtime: 1s")
        with pytest.raises(TimeLimitError):
            app.proofs.drill(point.id, progress=SILENT)
        assert app.proofs.by_point() == {}

    def test_a_check_cannot_change_what_is_compared(self, made: Made) -> None:
        result = self.drilled(
            made, ["sh", "-c", 'pwd; test "$PWD" = "$HOME" && touch x && test -s "$0"', "{file}"]
        )
        assert result.report.differences == ()


def problems(tmp_path: Path, settings: str) -> str:
    (tmp_path / "backup.yaml").write_text(
        f"repository: {{path: {tmp_path}/repository}}\nsources:\n  it: {{every: day, {settings}}}\n"
    )
    with pytest.raises(PlanError) as caught:
        App.load(str(tmp_path / "backup.yaml"))
    return caught.value.message


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            "command: pg_dump x | gzip",
            "must be a list of words, as in [redis-cli, --rdb, '-']: no shell runs it",
        ),
        ("command: []", "must be a list of words, the program first"),
        ("command: ['']", "must be a list of words, the program first"),
        ("command: [sleep, 5]", "has the word 5, which is not a text: put it in quotes"),
        ("command: [x, '--password=abc']", "has a secret in it, and other users see the words"),
        ("command: [x, '${env:HOME}']", "has a secret in it, and other users see the words"),
        ("command: [x, 'mongodb://me:abc@db/x']", "has a secret in it, and other users see the words"),
        ("command: [x], env: {MYSQL_PWD: abc}", "MYSQL_PWD must refer to a secret, as in ${env:NAME}"),
        ("command: [x], env: {'A-B': abc}", '"A-B" is not the name of a variable'),
        ("command: [x], filename: a/b", "is not the name of a file: write one like dump.rdb"),
        ("command: [x], check: x", "must be a list of words"),
        ("command: [x], min_size: many", '"many" is not a size'),
        ("command: [x], timeout: 0", "must be longer than 0"),
        ("command: [x], expect: {files: 3}", "`files` belongs to sources with `files`, not with `command`"),
    ],
)
def test_mistakes_in_a_plan(tmp_path: Path, settings: str, told: str) -> None:
    message = problems(tmp_path, settings)
    assert told in message
    assert "abc" not in message.replace('"abc"', "")


def test_values_that_are_no_secrets_may_stand_in_the_plan(made: Made) -> None:
    made.app("true", env="PGPASSFILE: /etc/pgpass, PGUSER: backup, MYSQL_PWD: '${env:HOME}'")
