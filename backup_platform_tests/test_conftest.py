"""The rule that nothing is skipped in CI."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

PASSES = "def test_it(): pass\n"
SKIPS = "import pytest\ndef test_it(): pytest.skip('no server')\n"
SKIPS_THE_MODULE = "import pytest\npytest.importorskip('no_such_module_anywhere')\n"
EXPECTS_FAILURE = "import pytest\n@pytest.mark.xfail\ndef test_it(): assert False\n"


def outcome(tmp_path: Path, text: str, *arguments: str, ci: str) -> int:
    (tmp_path / "test_sample.py").write_text(text)
    (tmp_path / "test_passing.py").write_text(PASSES)
    plugin = ["-p", "backup_platform_tests.conftest", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", "-q", *plugin, f"--rootdir={tmp_path}", *arguments, "."]
    own = {"CI": ci, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(command, cwd=tmp_path, env={**os.environ, **own}, check=False).returncode


@pytest.mark.parametrize("text", [SKIPS, SKIPS_THE_MODULE, EXPECTS_FAILURE])
def test_a_skip_fails_in_ci(tmp_path: Path, text: str) -> None:
    assert outcome(tmp_path, text, ci="true") == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize("text", [SKIPS, SKIPS_THE_MODULE])
def test_a_skip_in_a_worker_fails_in_ci(tmp_path: Path, text: str) -> None:
    assert outcome(tmp_path, text, "-p", "xdist", "-n", "1", ci="true") == pytest.ExitCode.TESTS_FAILED


def test_without_skips_ci_is_content(tmp_path: Path) -> None:
    assert outcome(tmp_path, PASSES, ci="true") == pytest.ExitCode.OK


def test_elsewhere_a_skip_is_allowed(tmp_path: Path) -> None:
    assert outcome(tmp_path, SKIPS, ci="") == pytest.ExitCode.OK


KEEPS = """
import os
def test_it():
    import once
    assert os.path.exists(once.__cached__)
    assert "PYTHONDONTWRITEBYTECODE" not in os.environ
"""


def test_what_was_compiled_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    (tmp_path / "once.py").touch()
    assert outcome(tmp_path, KEEPS, "-o", "pythonpath=.", ci="true") == pytest.ExitCode.OK


GROUP = """
import os, pytest
pytestmark = pytest.mark.xdist_group("shared")
@pytest.mark.parametrize("n", range(6))
def test_it(n):
    with open("processes", "a") as file:
        file.write(f"{os.getpid()}\\n")
"""


def test_a_group_stays_in_one_process(tmp_path: Path) -> None:
    """What its tests share is made once."""
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = xdist_group: shares\n")
    arguments = ("-p", "xdist", "-n", "2", "--dist", "loadgroup")
    assert outcome(tmp_path, GROUP, *arguments, ci="true") == pytest.ExitCode.OK
    processes = (tmp_path / "processes").read_text().split()
    assert len(processes) == 6
    assert len(set(processes)) == 1
