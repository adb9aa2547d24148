"""What holds for every test. In CI (`CI=true`) a skipped or expectedly failing test fails the session."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from backup_platform_tests.parsing import make_parsing_safe
from backup_platform_tests.scratch import make_place, make_room

make_parsing_safe()
# Where it is set, as in many containers, each of some thousand processes would compile the package anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
settings.register_profile(
    "default", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("soak", settings.get_profile("default"), max_examples=2_000)
settings.load_profile("default")

OF_THE_USER = ("BACKUP_PLATFORM_PLAN", "DAGSTER_HOME")


@pytest.hookimpl(tryfirst=True)  # before pytest chooses the place of `tmp_path`
def pytest_configure(config: pytest.Config) -> None:
    if config.option.basetemp is None and (place := make_place()):
        config.option.basetemp = str(place)
        config.add_cleanup(lambda: remove(place))
    if not hasattr(config, "workerinput") and (room := make_room()):  # workers inherit it
        tempfile.tempdir = os.environ["TMPDIR"] = str(room)
        config.add_cleanup(lambda: remove(room))
    for name in OF_THE_USER:
        os.environ.pop(name, None)
    os.environ["DAGSTER_DISABLE_TELEMETRY"] = "yes"
    # Repositories of tests come and go in places of one name: what a host remembers of them is kept apart.
    os.environ["XDG_STATE_HOME"] = state = tempfile.mkdtemp(prefix="backup-platform-state-")
    config.add_cleanup(lambda: shutil.rmtree(state, ignore_errors=True))
    # A shell starts what runs in its background with SIGINT ignored, and what the tests start would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if os.environ.get("CI") == "true":
        config.pluginmanager.register(NoSkips(), "no-skips")


def remove(place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)


class NoSkips:
    """Counts what was skipped or expected to fail, in tests and while modules were collected."""

    def __init__(self) -> None:
        self.skipped: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped:
            self.skipped.append(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self.skipped.append(report.nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.skipped and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.skipped:
            terminalreporter.section("skipped tests fail in CI", red=True)
            for name in self.skipped:
                terminalreporter.line(name)
