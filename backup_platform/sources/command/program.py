"""A running program: its output, its end, and that all its processes are gone afterwards."""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO

from backup_platform.domain.time_limit import TimeLimit
from backup_platform.errors import SourceError, SourceMissingError
from backup_platform.sources import children
from backup_platform.sources.command.last_words import LastWords

BLOCK = 1 << 20  # bytes, also of the pipe
_LOOK_S = 0.05
_LONGEST_WAIT_S = 60.0
_LAST_READS = 8


@contextmanager
def running(
    words: Sequence[str],
    *,
    env: Mapping[str, str],
    folder: str,
    limit: TimeLimit,
    said: LastWords,
    stdin: IO[bytes] | None = None,
) -> Iterator[Program]:
    """Start a program in `folder`; at the end of the block it and all that it started in its process group are killed.

    Raises SourceMissingError when there is no such program, SourceError when it cannot be started.
    """
    program = find_program(words[0], env, folder)
    try:
        child = children.start(
            [program, *words[1:]],
            env=env,
            cwd=folder,
            stdin=stdin or children.NOTHING,
            stdout=children.PIPE,
            stderr=children.PIPE,
            start_new_session=True,
            pipesize=BLOCK,
            bufsize=0,
        )
    except OSError as error:
        raise SourceError(
            f"The program {program} cannot be run: {error.strerror}.",
            subject=program,
            hint="Run it by hand, as the user of this program.",
        ) from error
    with child:
        started = Program(child, limit, said)
        try:
            yield started
        finally:
            started.kill()


def find_program(name: str, env: Mapping[str, str], folder: str) -> str:
    """Its path. Raises SourceMissingError."""
    within = os.path.join(folder, name) if "/" in name else name
    found = shutil.which(within, path=env.get("PATH", os.defpath))
    if found is None:
        where = "" if "/" in name else f" in the directories of PATH ({env.get('PATH', os.defpath)})"
        raise SourceMissingError(
            f"There is no program {within}{where}.",
            subject=name,
            hint="Install it for this user, or write its full path in the plan.",
        )
    return found


@dataclass
class Program:
    child: children.Child
    limit: TimeLimit
    said: LastWords
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _ended: bool = False

    def __post_init__(self) -> None:
        for pipe in (self._pipe(self.child.stdout), self._pipe(self.child.stderr)):
            os.set_blocking(pipe, False)
            self._selector.register(pipe, selectors.EVENT_READ)

    def output(self) -> Iterator[bytes]:
        """Everything that it writes to standard output, until no process can write there any more. Raises
        TimeLimitError."""
        stdout = self._pipe(self.child.stdout)
        while stdout in self._selector.get_map():
            self.limit.check()
            yield from self._ready(min(self.limit.left, _LONGEST_WAIT_S))

    def wait(self) -> str:
        """How it ended, for people; "" when it succeeded. After `output`. Raises TimeLimitError."""
        while not self._has_ended():
            self.limit.check()
            if self._selector.get_map():
                list(self._ready(_LOOK_S))
            else:
                time.sleep(_LOOK_S / 10)
        self._kill_group()
        for _ in range(_LAST_READS):  # what escaped from the group may write for ever
            if not self._selector.get_map() or not self._selector.select(0):
                break
            list(self._ready(0))
        self.kill()
        return _described(self.child.returncode)

    def kill(self) -> None:
        """Kills it and the processes that it started. It is waited for last, so that no other process can get its
        process id before."""
        self._selector.close()
        if self._ended:
            return
        self._kill_group()
        self.child.wait()
        self._ended = True

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.child.pid, signal.SIGKILL)

    def _has_ended(self) -> bool:
        options = os.WEXITED | os.WNOWAIT | os.WNOHANG
        return os.waitid(os.P_PID, self.child.pid, options) is not None

    def _ready(self, timeout: float) -> Iterator[bytes]:
        """Blocks of standard output; those of standard error go to `said`."""
        stdout = self._pipe(self.child.stdout)
        for key, _ in self._selector.select(timeout):
            block = os.read(key.fd, BLOCK)
            if not block:
                self._selector.unregister(key.fd)
            elif key.fd == stdout:
                yield block
            else:
                self.said.add(block)

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> int:
        assert pipe is not None
        return pipe.fileno()


def _described(code: int) -> str:
    if code < 0:
        with suppress(ValueError):
            return f"was ended by the signal {signal.Signals(-code).name}"
        return f"was ended by the signal {-code}"
    return f"ended with exit status {code}" if code else ""
