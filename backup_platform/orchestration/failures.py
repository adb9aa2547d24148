"""Errors of the core as Dagster understands them: fail now, or try again later."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from backup_platform.domain.visible import inert
from backup_platform.errors import BackupError
from backup_platform.extras import not_installed
from backup_platform.orchestration import shown

LONGEST_DELAY_S = 15 * 60.0
# 10, 30, 70, 150 ... seconds, each 10 more or less: sources that failed together try again apart.
BACKOFF = dg.RetryPolicy(delay=10, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)


@contextmanager
def dagster_errors(attempt: int, retries: int) -> Iterator[None]:
    """Raise `Failure` for a permanent `BackupError`, `RetryRequested` for one that may pass.

    Every other exception goes through.
    `attempt` counts from 0. A retry policy on the step would not do: Dagster applies it to every exception,
    bugs and the interrupt of a cancelled run included, and knows no longest delay.
    """
    try:
        yield
    except ImportError as error:
        missing = not_installed(error)
        raise as_failure(missing) if missing else error from error
    except BackupError as error:
        shown.disarm(error)
        failure = as_failure(error)
        if not error.retryable:
            raise failure from error
        delay = min(float(BACKOFF.calculate_delay(attempt + 1)), LONGEST_DELAY_S)
        raise dg.RetryRequested(max_retries=retries, seconds_to_wait=max(delay, 0.0)) from failure
    except Exception as error:
        shown.disarm(error)
        raise


def as_failure(error: BackupError) -> dg.Failure:
    """What failed, why, and what to do next."""
    return dg.Failure(
        description=inert(str(error)),
        metadata={
            "error": error.code,
            "hint": shown.text(error.hint or "none"),
            "retryable": error.retryable,
        },
        allow_retries=False,
    )
