"""Output that cannot be written: work goes on to its end, a listing ends, and the exit code tells."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from backup_platform.cli.entry import main
from backup_platform_tests.cli.conftest import Verbs

PLAN = """\
repositories: {main: {path: main}, copy: {path: copy}}
state: state
sources:
  a: {files: tree, every: day, repositories: [main, copy]}
  b: {files: nowhere, every: day, repositories: [main, copy]}
  c: {files: tree, every: day, repositories: [main, copy]}
"""
Full = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Verbs:
    (tmp_path / "backup.yaml").write_text(PLAN)
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_text("content")
    made = Verbs(capsys, tmp_path / "backup.yaml")
    made("init", code=0)
    made("--repository", "copy", "init", code=0)
    return made


@pytest.fixture
def full(
    run: Verbs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Full:
    """Runs a verb whose standard output is a full disk; what it said on standard error."""

    def call(*arguments: str, code: int) -> str:
        with monkeypatch.context() as patch, open("/dev/full", "w", encoding="utf-8") as stream:
            patch.setattr(sys, "stdout", stream)
            ended = main(["--plan", str(tmp_path / "backup.yaml"), *arguments])
        told = capsys.readouterr().err
        assert ended == code, told
        return told

    return call


def test_a_full_log_disk_stops_no_work(run: Verbs, full: Full, tmp_path: Path) -> None:
    """Each line that cannot be written is lost, the work is not; `b` fails by itself."""
    told = full("backup", code=1)
    assert "error [source-missing]: b: " in told
    assert "error [output-failed]: Standard output cannot be written: No space left on device." in told
    assert "finished, with exit code 1" in told
    assert [p["source"] for p in run("points", "--json", code=0).document["points"]] == ["a", "c"]

    full("copy", code=1)
    copied = run("--repository", "copy", "points", "--json", code=0).document["points"]
    assert [p["source"] for p in copied] == ["a", "c"]

    assert "with exit code 0" in full("drill", "a@latest", code=1)
    assert run("points", "a", "--json", code=0).document["points"][0]["state"] == "proven"

    full("restore", "a@latest", "--to", str(tmp_path / "back"), code=1)
    assert (tmp_path / "back" / "file").read_text() == "content"

    full("hold", "c@latest", "--reason", "a test", code=1)
    assert len(run("holds", "--json", code=0).document["holds"]) == 1

    assert "with exit code 0" in full("verify", code=1)
    assert "with exit code 0" in full("backup", "a", "--force", "--json", code=1)


def test_a_listing_that_cannot_be_written_is_no_defect_of_ours(full: Full) -> None:
    told = full("points", code=1)
    assert told.startswith("error [output-failed]: Standard output cannot be written: No space left")
    assert full("--help", code=1).startswith("error [output-failed]")


def test_standard_streams_may_be_closed(run: Verbs, tmp_path: Path) -> None:
    """Nothing of the repository takes their numbers."""
    plan = tmp_path / "backup.yaml"
    command = f"exec {sys.executable} -m backup_platform.cli.entry --plan {plan} backup c 0<&- 1>&- 2>&-"
    assert subprocess.run(["sh", "-c", command], check=False).returncode == 1
    assert [p["source"] for p in run("points", "--json", code=0).document["points"]] == ["c"]
    run("verify", code=0)


def test_a_reader_that_goes_away_stops_no_work(run: Verbs, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "backup_platform.cli.entry", "--plan", str(tmp_path / "backup.yaml")]
    process = subprocess.run(
        [*command, "backup", "c"], stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert process.returncode == 141
    assert "Broken pipe. The work itself was finished, with exit code 0." in process.stderr
    assert [p["source"] for p in run("points", "--json", code=0).document["points"]] == ["c"]
