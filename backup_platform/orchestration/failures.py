"""Errors of the core as Dagster needs them: fail now, or retry later."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dagster as dg

from backup_platform.advice import Hint, written
from backup_platform.domain.visible import inert
from backup_platform.errors import BackupError, sentences
from backup_platform.extras import not_installed
from backup_platform.orchestration import shown

LONGEST_DELAY_S = 15 * 60.0
# 10, 30, 70, 150 ... seconds, each 10 more or less: sources that failed together try again apart.
BACKOFF = dg.RetryPolicy(delay=10, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)


Written = Callable[
    [Hint, str], str
]  # advice, and the repository that it is about: `BackupTranslator.written`


def _plainly(hint: Hint, about: str) -> str:
    return written(hint)


@contextmanager
def dagster_errors(attempt: int, retries: int, written: Written = _plainly) -> Iterator[None]:
    """Raise `Failure` for a permanent `BackupError`, `RetryRequested` for one that may pass.

    Every other exception goes through.
    `attempt` counts from 0. A retry policy on the step would not do: Dagster applies it to every exception,
    bugs and the interrupt of a cancelled run included, and knows no longest delay.
    """
    try:
        yield
    except ImportError as error:
        missing = not_installed(error)
        raise as_failure(missing, written) if missing else error from error
    except BackupError as error:
        shown.disarm(error)
        failure = as_failure(error, written)
        if not error.retryable:
            raise failure from error
        delay = min(float(BACKOFF.calculate_delay(attempt + 1)), LONGEST_DELAY_S)
        raise dg.RetryRequested(max_retries=retries, seconds_to_wait=max(delay, 0.0)) from failure
    except Exception as error:
        shown.disarm(error)
        raise


def as_failure(error: BackupError, written: Written = _plainly) -> dg.Failure:
    """What failed, why, and what to do next."""
    hint = written(error.advice, error.repository)
    return dg.Failure(
        description=inert(sentences(error.message, hint)),
        metadata={
            "error": error.code,
            "hint": shown.text(hint or "none"),
            **({"subject": shown.text(error.subject)} if error.subject else {}),
            "retryable": error.retryable,
        },
        allow_retries=False,
    )
