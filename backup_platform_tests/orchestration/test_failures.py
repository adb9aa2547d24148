from __future__ import annotations

import dagster as dg
import pytest

from backup_platform.errors import SourceBusyError, SourceMissingError, StoreError, WindowError
from backup_platform.orchestration.failures import LONGEST_DELAY_S, as_failure, dagster_errors


def test_a_permanent_error_fails_at_once_with_message_hint_and_code() -> None:
    with pytest.raises(dg.Failure) as caught, dagster_errors(attempt=0, retries=3):
        raise SourceMissingError("/srv/shop.db is not there.", hint="Correct the plan.")
    failure = caught.value
    assert not failure.allow_retries
    assert failure.description == "/srv/shop.db is not there. Correct the plan."
    assert failure.metadata["error"].value == "source-missing"
    assert failure.metadata["hint"].value == "Correct the plan."


def test_a_retryable_error_asks_for_a_retry_and_keeps_what_failed() -> None:
    with pytest.raises(dg.RetryRequested) as caught, dagster_errors(attempt=0, retries=3):
        raise StoreError("timeout", retryable=True)
    assert caught.value.max_retries == 3
    assert isinstance(caught.value.__cause__, dg.Failure)
    assert caught.value.__cause__.description == "timeout"


def delay(attempt: int) -> float:
    with pytest.raises(dg.RetryRequested) as caught, dagster_errors(attempt=attempt, retries=99):
        raise SourceBusyError("locked")
    assert caught.value.seconds_to_wait is not None
    return float(caught.value.seconds_to_wait)


def test_delays_grow_exponentially_with_jitter_and_end_somewhere() -> None:
    first, fourth = [delay(0) for _ in range(50)], [delay(3) for _ in range(50)]
    assert len(set(first)) > 40
    assert 0 <= min(first) <= max(first) <= 20
    assert 140 <= min(fourth) <= max(fourth) <= 160
    assert delay(40) == LONGEST_DELAY_S


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt()])
def test_bugs_and_interrupts_go_through(error: BaseException) -> None:
    with pytest.raises(type(error)), dagster_errors(attempt=0, retries=3):
        raise error


def test_a_message_and_its_hint_are_two_sentences() -> None:
    for message in ("the window is over", "The window is over."):
        told = as_failure(WindowError(message, hint="Capture the next one.")).description
        assert (told or "").lower() == "the window is over. capture the next one."
    assert as_failure(WindowError("the window is over")).description == "the window is over"
