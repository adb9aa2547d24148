"""`status`: what it says of real repositories, in the order in which somebody meets it."""

from __future__ import annotations

import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from backup_platform.app import App
from backup_platform.cli import context
from backup_platform.cli.watch import status
from backup_platform_tests.cli.conftest import Verbs
from backup_platform_tests.support import ManualClock

PLAN = """\
repositories:
  main: {path: main}
  offsite: {path: offsite, place: elsewhere}
state: state
rpo: 26h
sources:
  docs: {files: docs, every: day, rto: 1h, repositories: [main, offsite]}
  mail: {files: mail, every: day}
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name in ("docs", "mail"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text("a")
    (tmp_path / "backup.yaml").write_text(PLAN)
    return tmp_path


@pytest.fixture
def run(home: Path, capsys: pytest.CaptureFixture[str]) -> Verbs:
    verbs = Verbs(capsys, home / "backup.yaml")
    verbs("init", code=0)
    verbs("init", "--repository", "offsite", code=0)
    return verbs


def rows(text: str) -> dict[str, str]:
    """The state of each source and repository, in the order of the output."""
    lines = (line.split() for line in text.splitlines() if re.match(r"[a-z]+ +[a-z]+ ", line))
    return {words[1]: words[0] for words in lines if words[0] not in ("fine", "not") or ":" not in words[3]}


def state_of(run: Verbs, name: str) -> dict[str, object]:
    document = run("status", "--json").document
    both = [*document["sources"], *document["repositories"]]
    found: dict[str, object] = next(
        each for each in both if name in (each.get("source"), each.get("repository"))
    )
    return found


def test_from_never_to_fine(run: Verbs) -> None:
    told = run("status", code=1).out
    assert told.count("it has no recovery point") == 2
    assert "backup docs`" in told
    assert "2 sources: 2 never." in told
    run("backup", code=0)
    told = run("status", code=1).out
    assert told.count("no drill of its points has passed") == 2
    assert "drill docs@latest`" in told
    run("drill", "docs@latest", code=0)
    told = run("status", code=1).out
    assert "2 sources: 1 unproven and 1 fine. 2 repositories: 2 fine." in told
    assert list(rows(told))[2:] == ["mail", "docs"], "the worst first"
    run("drill", "mail@latest", code=0)
    told = run("status", code=0).out
    assert told.splitlines()[-1].startswith("fine  2 sources: 2 fine.")


def test_the_document_has_what_was_measured(run: Verbs) -> None:
    run("backup", code=0)
    run("drill", "docs@latest", code=0)
    point = run("points", "docs", "--json").document["points"][0]
    docs = state_of(run, "docs")
    assert docs["last_point"] == {key: point[key] for key in ("id", "captured_at")} | {
        "window": point["window"]["key"]
    }
    assert docs["last_proven_point"] == docs["last_point"]
    assert docs["rpo"]["wanted_s"] == 26 * 3600  # type: ignore[index]
    assert docs["rto"]["wanted_s"] == 3600  # type: ignore[index]
    drill = run("show", "docs@latest", "--json").document["point"]["proofs"][-1]
    assert docs["rto"]["measured_s"] == pytest.approx(drill["duration_s"], abs=1e-4)  # type: ignore[index]
    assert docs["missed"]["windows"] == 0  # type: ignore[index]
    assert docs["copies"] == {
        "in": ["main"],
        "lacking": ["offsite"],
        "silent": [],
        "places": ["local"],
    }
    assert state_of(run, "mail")["copies"] is None
    run("copy", code=0)
    assert state_of(run, "docs")["copies"]["in"] == ["main", "offsite"]  # type: ignore[index]
    main = state_of(run, "main")
    assert main["points"] == 2
    assert main["stored_bytes"]
    assert main["free_bytes"]


def test_advice_can_be_run_as_it_stands(run: Verbs, home: Path) -> None:
    finding = run("status", "--json", code=1).document["sources"][0]["findings"][0]
    commands = [piece["command"] for piece in finding["advice"] if "command" in piece]
    assert commands == [["backup-platform", "--plan", str(home / "backup.yaml"), "backup", "docs"]]
    run(*commands[0][3:], code=0)
    assert state_of(run, "docs")["state"] == "unproven"


@pytest.mark.parametrize(
    ("break_it", "state"),
    [
        (lambda home: shutil.move(home / "main", home / "gone"), "away"),
        (lambda home: (shutil.move(home / "main", home / "gone"), (home / "main").mkdir()), "empty"),
    ],
)
def test_a_repository_that_is_not_there_is_told_first(
    run: Verbs, home: Path, break_it: object, state: str
) -> None:
    run("backup", code=0)
    break_it(home)  # type: ignore[operator]
    told = run("status", code=1).out
    assert re.search(rf"^{state} +main", told, re.MULTILINE)
    assert told.count(f"its repository main is {state}") == 2
    assert told.index(state) < told.index("offsite")
    assert ".. " not in told
    assert state_of(run, "docs")["state"] == "unknown"


def test_what_the_first_backup_stored_is_seen_at_once(run: Verbs) -> None:
    """Packs are counted once a day where there are some."""
    assert state_of(run, "main")["stored_bytes"] == 0
    run("backup", code=0)
    assert state_of(run, "main")["stored_bytes"]


def test_a_copy_that_is_away_does_not_hide_the_first(run: Verbs, home: Path) -> None:
    run("backup", code=0)
    shutil.move(home / "offsite", home / "gone")
    document = run("status", "--json", code=1).document
    assert [each["state"] for each in document["repositories"]] == ["away", "fine"]
    assert document["sources"][0]["copies"]["silent"] == ["offsite"]


def test_what_is_damaged_is_not_taken_for_missed(run: Verbs, home: Path) -> None:
    run("backup", code=0)
    manifest = next((home / "main" / "manifests").rglob("0000000001"))
    manifest.write_bytes(b"x")
    shutil.rmtree(home / "state" / "judged", ignore_errors=True)
    states = [each["state"] for each in run("status", "--json", code=1).document["sources"]]
    assert sorted(states) == ["unknown", "unproven"]


def test_a_suspect_point_is_accepted_by_the_command_below_it(run: Verbs, home: Path) -> None:
    (home / "docs" / "a").unlink()
    run("backup", code=3)
    finding = state_of(run, "docs")["findings"][0]  # type: ignore[index]
    assert finding["state"] == "suspect"
    (words,) = [piece["command"] for piece in finding["advice"] if "accept" in piece.get("command", ())]
    run(*["it is meant to be empty" if word == "TEXT" else word for word in words[3:]], code=0)
    assert state_of(run, "docs")["state"] == "unproven"


def test_a_disk_without_room_is_told_before_the_next_backup_fails(
    run: Verbs, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("backup", code=0)
    usage = type(shutil.disk_usage("/"))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10_000, 9_999, 1))
    finding = state_of(run, "main")["findings"][0]  # type: ignore[index]
    assert finding["state"] == "full"
    assert "1 B free" in finding["text"]


class TestWatching:
    def test_it_looks_again_until_it_is_ended(self, run: Verbs, monkeypatch: pytest.MonkeyPatch) -> None:
        waits: list[float] = []

        def wait(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 2:
                raise KeyboardInterrupt

        monkeypatch.setattr(status, "pause", wait)
        told = run("status", "--watch", "--every", "5min", code=1).out
        assert waits == [300.0, 300.0]
        assert told.count("2 sources: 2 never.") == 2

    def test_it_sees_what_changed(self, run: Verbs, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A disk that goes away, and a point that comes, while somebody watches."""
        services = context.app_factory(str(home / "backup.yaml"))
        monkeypatch.setattr(context, "app_factory", lambda plan: services)
        steps = iter((lambda: shutil.move(home / "main", home / "gone"), None))

        def wait(seconds: float) -> None:
            if (step := next(steps)) is None:
                raise KeyboardInterrupt
            step()

        monkeypatch.setattr(status, "pause", wait)
        told = run("status", "--watch", code=1).out
        assert told.index("2 sources: 2 never.") < told.index("2 sources: 2 unknown.")

    @pytest.mark.parametrize(
        "words",
        [
            ("--watch", "--json"),
            ("--watch", "--every", "soon"),
            ("--every", "soon"),
            ("--watch", "--every", "0s"),
            ("--watch", "--every", "0"),
            ("--watch", "--every", "99999d"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, run: Verbs, words: tuple[str, ...]) -> None:
        run("status", *words, code=2)

    def test_the_help_says_once_how_often(self, run: Verbs) -> None:
        assert run("status", "--help", code=0).out.count("60s") == 1


def test_sizes_of_days_make_a_forecast(run: Verbs, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock(datetime.now(UTC))
    monkeypatch.setattr(context, "app_factory", lambda plan: App.load(plan, clock=clock))
    for day in range(5):
        assert "growth_bytes_per_day" in state_of(run, "main")
        pack = home / "main" / "packs" / "00" / f"00{day:062d}"
        pack.parent.mkdir(parents=True, exist_ok=True)
        pack.write_bytes(b"x" * 100_000)
        clock.advance(days=1)
    main = state_of(run, "main")
    assert main["growth_bytes_per_day"] == pytest.approx(100_000)
    assert main["days_until_full"] == pytest.approx(main["free_bytes"] / 100_000)  # type: ignore[operator]
    assert state_of(run, "offsite")["days_until_full"] is None
    assert re.search(r"FULL IN.*\n.*main .*days", run("status").out)


def test_what_is_in_no_source_is_not_fine(run: Verbs, home: Path) -> None:
    (home / "backup.yaml").write_text(PLAN + "coverage: {data: {files: .}}\n")
    (home / "forgotten").mkdir()
    (home / "forgotten" / "a").write_text("a")
    ran = run("status", "--json", code=1).document
    assert len([each for each in ran["unprotected"] if "forgotten" in each]) == 1
    told = run("status", code=1).out
    assert "gap in coverage." in told or "gaps in coverage." in told
    assert re.search(r"^unprotected  .*forgotten", told, re.MULTILINE)
    assert "coverage`: it has the lines for the plan." in told


def test_objectives_stand_while_the_repository_is_away(run: Verbs, home: Path) -> None:
    shutil.move(home / "main", home / "gone")
    assert state_of(run, "docs")["rpo"] == {"measured_s": None, "wanted_s": 26 * 3600}


def test_a_failed_drill_of_a_point_that_was_replaced_is_over(run: Verbs, home: Path) -> None:
    """Somebody corrected the source and backed the window up again: nothing is left to do."""
    (home / "backup.yaml").write_text(
        "repositories: {main: {path: main}}\nstate: state\n"
        "sources: {dump: {command: [cat, dump], check: [grep, -q, DONE], every: day}}\n"
    )
    (home / "dump").write_text("half of it")
    run("backup", code=0)
    run("drill", "dump@latest", code=1)
    assert state_of(run, "dump")["state"] == "failed"
    (home / "dump").write_text("all of it. DONE")
    run("backup", "--force", code=0)
    run("drill", "dump@latest", code=0)
    assert state_of(run, "dump")["state"] == "fine"
