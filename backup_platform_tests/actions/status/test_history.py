"""What was read or judged before is neither read nor judged again."""

from __future__ import annotations

import json
import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from backup_platform.domain.model import Window
from backup_platform.domain.windows.runs import ending_after
from backup_platform.domain.windows.schedule import WindowSchedule
from backup_platform_tests.actions.status.history_support import SOURCE, Past
from backup_platform_tests.support import START, Call, ScriptedStore

FIVE_YEARS, A_MONTH = timedelta(days=5 * 365), timedelta(days=30)


@pytest.fixture
def past(tmp_path: Path) -> Past:
    """Two points at the begin of a month, two at its end."""
    return past_of(tmp_path, A_MONTH)


def past_of(tmp_path: Path, length: timedelta) -> Past:
    made = Past(tmp_path)
    for _ in range(2):
        made.commit(made.schedule.window_of(made.clock.now()))
        made.clock.advance(hours=1)
    made.clock.instant = START + length
    for _ in range(2):
        made.commit(made.schedule.window_of(made.clock.now()))
        made.clock.advance(hours=1)
    made.clock.advance(hours=-1)
    return made


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """The starts of windows that were computed, for whatever purpose."""
    found: list[datetime] = []
    between = WindowSchedule._between

    def seen(schedule: WindowSchedule, *boundaries: object) -> Window:
        window = between(schedule, *boundaries)  # type: ignore[arg-type]
        found.append(window.start)
        return window

    monkeypatch.setattr(WindowSchedule, "_between", seen)
    return found


def test_with_nothing_new_no_window_of_the_past_is_looked_at_and_nothing_is_read(
    tmp_path: Path, looked_at: list[datetime]
) -> None:
    past = past_of(tmp_path, FIVE_YEARS)
    first = past.look().missed
    assert first
    assert len(first.missed) > 19_000
    assert len(looked_at) > 19_000
    looked_at.clear()
    calls = calls_of(past)
    again = past.look().missed
    assert again
    assert (len(again.missed), again.missed[0], again.missed[-1]) == (
        len(first.missed),
        first.missed[0],
        first.missed[-1],
    )
    assert len(looked_at) < 20
    assert {call.verb for call in calls if call.key.startswith("manifests/")} == {"list"}
    assert not [call for call in calls if call.key.startswith("ledger/")]


def test_a_new_point_costs_itself_and_its_window(past: Past, looked_at: list[datetime]) -> None:
    past.look()
    past.clock.advance(hours=3)
    past.commit(past.schedule.window_of(past.clock.now()))
    looked_at.clear()
    calls = calls_of(past)
    found = past.look().missed
    assert found
    assert [window.start for window in found.missed[-2:]] == [
        past.schedule.window_of(past.clock.now()).start - timedelta(hours=n) for n in (2, 1)
    ]
    assert len([call for call in calls if call.key.startswith("manifests/") and call.verb == "get"]) == 1
    looked_at.clear()
    past.look()
    assert len(looked_at) < 20


def test_a_point_that_retention_forgot_costs_one_request(past: Past) -> None:
    past.look()
    past.forget(past.open().points.all(SOURCE)[1])
    calls = calls_of(past)
    past.look()
    assert [call.verb for call in calls if call.key.startswith("ledger/")] == ["head"]


def calls_of(past: Past) -> list[Call]:
    """The calls that looks make from now on."""
    scripted = ScriptedStore(past.store)
    opened = past.open

    def open_scripted() -> object:
        repository = opened()
        repository.objects.store = scripted
        return repository

    past.open = open_scripted  # type: ignore[method-assign, assignment]
    return scripted.calls


@pytest.mark.parametrize(
    "text", ["", "{", "null", "[]", '{"version": 0}', '{"version": 1}', '{"version": 1, "points": [[]]}']
)
def test_notes_that_cannot_be_read_are_made_anew(past: Past, text: str) -> None:
    before = past.look()
    (note,) = Path(past.notes).iterdir()
    whole = note.read_text()
    note.write_text(text)
    after = past.look()
    assert after.missed
    assert before.missed
    assert list(after.missed.missed) == list(before.missed.missed)
    assert json.loads(note.read_text()) == json.loads(whole)


def test_notes_are_for_the_owner_only_and_hold_no_more_than_an_outline(past: Past) -> None:
    past.look()
    (note,) = Path(past.notes).iterdir()
    assert note.stat().st_mode & 0o077 == 0
    assert Path(past.notes).stat().st_mode & 0o077 == 0
    assert note.stat().st_size < 3_000, "700 missed windows are one run"


def test_without_a_place_for_notes_the_same_is_found(past: Past) -> None:
    with_notes = past.look().missed
    shutil.rmtree(past.notes)
    Path(past.notes).write_text("no directory")
    for _ in range(2):
        found = past.look().missed
        assert found
        assert with_notes
        assert len(found.missed) == len(with_notes.missed)


def test_a_damaged_manifest_hides_no_window(past: Past) -> None:
    past.look()
    point = past.open().points.all(SOURCE)[-1]
    path = Path(past.store.location, past.open().points.key(point))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    found = past.look()
    assert found.missed is None
    assert "altered" in found.damaged[0].message
    assert len(found.points) == 3


def test_a_manifest_that_was_stored_anew_is_read_anew(past: Past) -> None:
    past.look()
    point = past.open().points.all(SOURCE)[0]
    past.bring_back(point, past.lose(point))
    calls = calls_of(past)
    past.look()
    assert [call.verb for call in calls if call.key.startswith("manifests/")] == ["list", "get"]


def test_windows_that_end_after_an_instant_are_those(past: Past) -> None:
    found = past.look().missed
    assert found
    for back in (0, 2, 90, 24 * 40):
        after = past.clock.now() - timedelta(hours=back)
        expected = [window for window in found.missed if window.end > after]
        assert list(ending_after(found.missed, after)) == expected
        assert list(ending_after(list(found.missed), after)) == expected
