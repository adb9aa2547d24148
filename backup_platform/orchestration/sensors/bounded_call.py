"""Questions with a time limit, because a hung network file system blocks every reader."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from typing import TypeVar

from backup_platform.errors import StoreError

T = TypeVar("T")


class BoundedCall:
    """Asks one question at a time, in a thread that a shutdown does not wait for."""

    def __init__(self) -> None:
        self._thread: Thread | None = None

    def ask(self, question: Callable[[], T], seconds: float) -> T:
        """The answer, or the error that the question raises; `StoreError` if there is no answer in time. While an
        earlier question is open, no other one is asked. So at most one thread waits without end."""
        if self._thread and self._thread.is_alive():
            raise _no_answer("still does not answer")
        answers: list[T] = []
        errors: list[BaseException] = []

        def run() -> None:
            try:
                answers.append(question())
            except BaseException as error:
                errors.append(error)

        self._thread = Thread(target=run, name="repository", daemon=True)
        self._thread.start()
        self._thread.join(seconds)
        if errors:
            raise errors[0]
        if not answers:
            raise _no_answer(f"did not answer within {seconds:.0f} s")
        return answers[0]


def _no_answer(what: str) -> StoreError:
    return StoreError(
        f"The repository {what}.",
        hint="Look for a hung mount or network: the process that asked may have to be started anew.",
        retryable=True,
    )
