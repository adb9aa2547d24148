"""A signal ends a program through its `finally` blocks, so that no server of its stays behind."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def ends_by_signals() -> Iterator[None]:
    """The block ends with `SystemExit` at the first signal, and with it every child of this process.

    A signal that was ignored, as by nohup, stays so.
    """
    before = {number: signal.getsignal(number) for number in ENDING}
    try:
        for number, handler in before.items():
            if handler != signal.SIG_IGN:
                signal.signal(number, _exit)
        yield
    except SystemExit:
        with undisturbed():
            _end_children()
        raise
    finally:
        _restore(before)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Signals do not interrupt the block: it cleans up, and takes seconds."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in ENDING}
    try:
        yield
    finally:
        _restore(before)


def _exit(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)


def _end_children() -> None:
    """A signal may come when `subprocess` has started a process and not returned it yet."""
    me = os.getpid()
    with open(f"/proc/{me}/task/{me}/children", encoding="ascii") as file:
        children = [int(word) for word in file.read().split()]
    for child in children:
        with suppress(ProcessLookupError, ChildProcessError):
            leads = os.getpgid(child) == child
            (os.killpg if leads else os.kill)(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _restore(handlers: Mapping[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
