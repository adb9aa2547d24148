from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from backup_platform.cli.display import progress
from backup_platform.cli.display.progress import (
    Pace,
    PlainDisplay,
    ProgressCounts,
    ProgressMeter,
    ProgressView,
    describe,
    look,
    reporting,
)


def test_counting_is_exact_from_many_threads() -> None:
    meter = ProgressMeter()

    def work() -> None:
        for _ in range(2_000):
            meter.expect(items=2, size=3)
            meter.advance(items=1, size=2)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert meter.amounts() == ProgressCounts(16_000, 32_000, 32_000, 48_000)


def test_a_part_of_the_work_has_amounts_of_its_own() -> None:
    meter, pace = ProgressMeter(), Pace()
    meter.expect(items=3, size=30)
    meter.advance(items=2, size=20)
    pace.at(0.0, meter.amounts())
    meter.begin("comparing", "table")
    meter.expect(items=1)
    assert meter.amounts() == ProgressCounts(0, 0, 1, 0, "comparing", "table")
    assert pace.at(1.0, meter.amounts()) == (0.0, 0.0)
    meter.advance(items=1)
    assert (
        describe(look(meter.amounts(), *pace.at(2.0, meter.amounts())))
        == "comparing, 1 of 1 table, 0.00 s left"
    )


def test_a_call_is_cheap() -> None:
    meter = ProgressMeter()
    started = time.thread_time()
    for _ in range(20_000):
        meter.advance(items=1, size=1)
    assert (time.thread_time() - started) / 20_000 < 50e-6


def test_notes_are_bounded_and_say_what_was_lost() -> None:
    meter = ProgressMeter()
    for number in range(1_200):
        meter.note(f"note {number}")
    notes = meter.take_notes()
    assert len(notes) == 1_001
    assert notes[0] == "(200 earlier notes left out)"
    assert notes[-1] == "note 1199"
    assert meter.take_notes() == []


def test_the_pace_is_that_of_the_last_seconds() -> None:
    pace = Pace()
    for second in range(60):
        pace.at(float(second), ProgressCounts(items=second, size=second * 100))
    assert pace.at(60.0, ProgressCounts(items=59, size=5_900)) == pytest.approx((1400 / 15, 14 / 15))
    assert Pace().at(0.0, ProgressCounts(size=5)) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("amounts", "left"),
    [
        (ProgressCounts(size=400, expected_size=1000), 6.0),
        (ProgressCounts(size=1200, expected_size=1000), 0.0),
        (ProgressCounts(items=10, expected_items=20), 1.0),
        (ProgressCounts(items=10, size=400), None),
    ],
)
def test_the_time_left_is_told_only_where_it_is_known(amounts: ProgressCounts, left: float | None) -> None:
    assert look(amounts, 100.0, 10.0).left_s == left
    assert look(amounts, 0.0, 0.0).left_s is None


def test_plain_lines_come_at_intervals() -> None:
    stream = io.StringIO()
    display = PlainDisplay("backup shop", stream, every_s=10.0)
    amounts = ProgressCounts(1_234, 12_300_000, 5_000, 1_200_000_000)
    for tick in range(250):
        display.draw(tick / 10, ProgressView(amounts, 45e6, 100, 80.0), ["odd\x1b[2J"] if tick == 3 else [])
    line = "backup shop: 1,234 of 5,000 files, 12.3 MB of 1.2 GB, 45.0 MB/s, 1 min 20 s left\n"
    assert stream.getvalue() == "backup shop: odd\\x1b[2J\n" + line * 2


def test_nothing_known_is_told_too() -> None:
    assert describe(ProgressView(ProgressCounts(), 0, 0, None)) == "working"
    assert describe(ProgressView(ProgressCounts(items=7), 0, 0, None)) == "7 files"
    assert (
        describe(ProgressView(ProgressCounts(doing="comparing the schema"), 0, 0, None))
        == "comparing the schema"
    )
    assert (
        describe(ProgressView(ProgressCounts(items=1, unit="recovery point"), 0, 0, None))
        == "1 recovery point"
    )


def test_work_that_ends_at_once_shows_nothing() -> None:
    stream = io.StringIO()
    with reporting("backup shop", stream) as meter:
        meter.advance(items=1)
    assert stream.getvalue() == ""


def test_a_note_of_work_that_ends_at_once_is_not_lost() -> None:
    stream = io.StringIO()
    with reporting("backup shop", stream) as meter:
        meter.note("something")
    assert stream.getvalue() == "backup shop: something\n"


def test_quiet_writes_no_lines() -> None:
    stream = io.StringIO()
    with reporting("backup shop", stream, quiet=True) as meter:
        meter.note("something")
    assert stream.getvalue() == ""


def test_a_display_that_fails_does_not_stop_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(progress, "FIRST_LOOK_S", 0.0)
    with reporting("backup shop", Gone()) as meter:
        meter.note("something")
        time.sleep(0.1)
        meter.advance(items=1)
    assert meter.amounts().items == 1


def test_drawing_is_bounded_by_the_clock_not_by_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[float] = []

    class Display:
        def draw(self, now: float, view: ProgressView, notes: list[str]) -> None:
            drawn.append(now)

        def close(self) -> None:
            drawn.append(-1.0)

    opened: Callable[[str, object], Display] = lambda title, stream: Display()  # noqa: E731
    monkeypatch.setattr(progress, "_open", opened)
    with reporting("backup shop", io.StringIO()) as meter:
        end = time.monotonic() + 1.2
        while time.monotonic() < end:
            meter.advance(size=1)
    assert drawn[-1] == -1.0
    assert 2 <= len(drawn) - 1 <= 12


SLOW = """
import sys, time
from backup_platform.cli import context
from backup_platform.cli.entry import main
from backup_platform_tests.cli.fake import FakeApp, make_point
from backup_platform_tests.cli.fake_services import FakeBackups

class Slow(FakeBackups):
    def run(self, source, *, window=None, force=False, progress):
        progress.begin("", "table")
        progress.expect(items=1_000, size=1_000_000_000)
        progress.note("changed while it was read: x\\x1b[2J")
        for _ in range(20):
            progress.advance(items=25, size=25_000_000)
            time.sleep(0.1)
        return super().run(source, window=window, force=force, progress=progress)

class SlowApp(FakeApp):
    backups = property(Slow)

app = SlowApp(captured={"shop": make_point()})
context.app_factory = lambda plan: app
sys.exit(main())
"""


def run_with_a_terminal(*arguments: str, columns: int = 80, term: str = "xterm") -> tuple[str, str]:
    """Standard output (a pipe) and what a terminal on standard error received."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": term, "COLUMNS": str(columns), "LINES": "24"}
    received = bytearray()

    def receive() -> None:
        try:
            while data := os.read(ours, 65536):
                received.extend(data)
        except OSError:  # the last writer has closed the terminal
            return

    command = [sys.executable, "-c", SLOW, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env=env) as process:
        os.close(theirs)
        reader = threading.Thread(target=receive)
        reader.start()
        out = process.communicate()[0]
        reader.join()
    os.close(ours)
    assert process.returncode == 0
    return out.decode(), received.decode()


@pytest.mark.parametrize("columns", [80, 120])
def test_a_terminal_gets_a_bar_that_fits_and_json_stays_clean(columns: int) -> None:
    out, screen = run_with_a_terminal("backup", "--json", columns=columns)
    assert json.loads(out)["results"][0]["outcome"] == "stored"
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen)
    bars = [line for line in re.split(r"[\r\n]+", plain) if line.startswith("backup shop ━")]
    assert any(re.search(r"\d MB/1\.0 GB \d+/1,000 tables \d+\.\d MB/s \d:\d\d$", bar) for bar in bars)
    assert max(len(bar) for bar in bars) <= columns
    assert 3 <= len(bars) <= 25
    assert "backup shop: changed while it was read: x\\x1b[2J" in plain


def test_a_dumb_terminal_gets_lines() -> None:
    _, screen = run_with_a_terminal("backup", term="dumb")
    assert "\x1b" not in screen
    assert "backup shop: changed while it was read: x\\x1b[2J" in screen
