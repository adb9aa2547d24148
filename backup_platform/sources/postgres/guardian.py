"""The process that ends a private server. It runs as a script, with the standard library only.

    python -I -S guardian.py HOME PARENT_PID UID GID SANDBOX

It reads commands from its standard input, one JSON array of arguments a line, runs one at a time (as UID and GID
unless UID is -1) with its output appended to HOME/log, and answers `exit CODE` when a command has ended. When the
input ends, or the process PARENT_PID is gone, it ends what runs, at once, and removes HOME. If that was not asked
for by a line `stop`, it removes the directory SANDBOX too, if it is empty. The lock on HOME is inherited.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable

POLL_S = 0.1
GRACE_S = 5.0
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


class Guardian:
    def __init__(self, home: str, parent: int, uid: int, gid: int, sandbox: str) -> None:
        self.home, self.parent, self.uid, self.gid, self.sandbox = home, parent, uid, gid, sandbox
        self.child: subprocess.Popen[bytes] | None = None
        self.unread = b""
        self.stopping = False
        self.prctl = _prctl()

    def watch(self) -> None:
        """Returns when everything has ended and is removed."""
        self.prctl(PR_SET_CHILD_SUBREAPER, 1)
        try:
            while self._step():
                pass
        finally:
            self._end()
            remove_home(self.home)
            if self.sandbox and not self.stopping:
                with contextlib.suppress(OSError):
                    os.rmdir(self.sandbox)

    def _step(self) -> bool:
        readable, _, _ = select.select([0], [], [], POLL_S)
        if readable and not self._obey(os.read(0, 65536)):
            return False
        if self.child is not None and self.child.poll() is not None:
            self._answer(f"exit {self.child.returncode}")
            self.child = None
        return os.getppid() == self.parent

    def _obey(self, data: bytes) -> bool:
        *lines, self.unread = (self.unread + data).split(b"\n")
        for line in lines:
            if line == b"stop":
                self.stopping = True
                return False
            self._start(json.loads(line))
        return bool(data)

    def _start(self, command: list[str]) -> None:
        account = {} if self.uid < 0 else {"user": self.uid, "group": self.gid, "extra_groups": []}
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
        try:
            with open(os.path.join(self.home, "log"), "ab") as log:
                self.child = subprocess.Popen(  # type: ignore[call-overload]
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self.home,
                    env=environment,
                    preexec_fn=self._die_with_me,
                    **account,
                )
        except OSError as error:
            self._answer(f"exit cannot be started: {error.strerror}")

    def _die_with_me(self) -> None:
        """After the change of user, which would clear it."""
        self.prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)

    def _answer(self, text: str) -> None:
        with contextlib.suppress(OSError):
            os.write(1, text.encode() + b"\n")

    def _end(self) -> None:
        """SIGQUIT is PostgreSQL's immediate shutdown; whoever outlives it is killed."""
        if self.child is not None and self.child.poll() is None:
            self.child.send_signal(signal.SIGQUIT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.child.wait(GRACE_S)
            self.child.kill()
            self.child.wait()
        deadline = time.monotonic() + GRACE_S
        while _children() and time.monotonic() < deadline:
            for pid in _children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)


def _children() -> list[int]:
    """Those not reaped yet: a process whose parent ended becomes a child of this one."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    pid = os.getpid()
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(child) for child in file.read().split()]
    except OSError:
        return []


def remove_home(home: str) -> None:
    """With the short directory of the socket, where there is one: `socket` is a link to it then."""
    link = os.path.join(home, "socket")
    if os.path.islink(link):
        shutil.rmtree(os.readlink(link), ignore_errors=True)
    for _ in range(50):
        shutil.rmtree(home, ignore_errors=True)
        if not os.path.lexists(home):
            return
        time.sleep(0.05)


def _prctl() -> Callable[[int, int], object]:
    """Only Linux has it; elsewhere the pipe alone must do."""
    if not sys.platform.startswith("linux"):
        return lambda option, value: None
    libc = ctypes.CDLL(None)
    return lambda option, value: libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0)


def main(arguments: list[str]) -> None:
    home, parent, uid, gid, sandbox = arguments
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Guardian(home, int(parent), int(uid), int(gid), sandbox).watch()


if __name__ == "__main__":
    main(sys.argv[1:])
