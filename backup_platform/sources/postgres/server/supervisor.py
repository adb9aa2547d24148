"""The process that starts and ends a private server. It runs by itself, with the standard library only.

    main([HOME, PARENT_PID, UID, GID, SANDBOX, LAYERS, SECONDS])

It reads commands from its standard input, one JSON array of arguments a line, runs one at a time (as UID and GID
unless UID is -1) with its output appended to HOME/log, and answers `exit CODE` when a command has ended. A line
`try ["PROGRAM", …]` asks for as many LAYERS (`isolation/starting.py`) as the program runs in: it answers
`in LAYER,LAYER`, and later commands run in those. When the input ends, the process PARENT_PID is gone, or SECONDS
have passed, it ends what runs, at once, and removes HOME. If its input ended without a line `stop`, or that process is
gone, it removes the directory SANDBOX too, if it is empty. The lock on HOME is inherited.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import stat
import sys
import time
from dataclasses import dataclass, replace

from backup_platform.sources.postgres.server.isolation import kernel
from backup_platform.sources.postgres.server.isolation.places import short_socket_of
from backup_platform.sources.postgres.server.isolation.starting import Confinement, choices, start

POLL_S = 0.1
GRACE_S = 5.0
_TRY = b"try "


@dataclass
class Supervisor:
    home: str
    parent: int
    sandbox: str
    allowed: tuple[str, ...]
    confinement: Confinement
    ends: float  # by the monotonic clock
    child: int = 0
    unread: bytes = b""
    stopping: bool = False

    def watch(self) -> None:
        """Returns when everything has ended and is removed."""
        with contextlib.suppress(OSError):
            kernel.prctl(kernel.CHILD_SUBREAPER, 1)
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
        if self.child and (code := _ended(self.child)) is not None:
            self._answer(f"exit {code}")
            self.child = 0
        if time.monotonic() >= self.ends:
            self.stopping = True
            return False
        return os.getppid() == self.parent

    def _obey(self, data: bytes) -> bool:
        *lines, self.unread = (self.unread + data).split(b"\n")
        for line in lines:
            if line == b"stop":
                self.stopping = True
                return False
            if line.startswith(_TRY):
                self._try(json.loads(line.removeprefix(_TRY)))
            else:
                self.child = start(json.loads(line), self.confinement, os.path.join(self.home, "log"))
        return bool(data)

    def _try(self, command: list[str]) -> None:
        """Without any layer it runs as well as it ever will."""
        for layers in choices(self.allowed):
            self.confinement = replace(self.confinement, layers=layers)
            if not layers or os.waitpid(start(command, self.confinement, os.devnull), 0)[1] == 0:
                break
        self._answer("in " + ",".join(self.confinement.layers))

    def _answer(self, text: str) -> None:
        with contextlib.suppress(OSError):
            os.write(1, text.encode() + b"\n")

    def _end(self) -> None:
        """SIGQUIT is PostgreSQL's immediate shutdown; whoever outlives it is killed."""
        if self.child and _ended(self.child) is None:
            os.kill(self.child, signal.SIGQUIT)
            quiet = time.monotonic() + GRACE_S
            while _ended(self.child) is None and time.monotonic() < quiet:
                time.sleep(0.005)
        deadline = time.monotonic() + GRACE_S
        while _children() and time.monotonic() < deadline:
            for pid in _children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)


def _ended(process: int) -> int | None:
    """Its exit code, None while it runs."""
    try:
        found, status = os.waitpid(process, os.WNOHANG)
    except ChildProcessError:
        return -1
    return os.waitstatus_to_exitcode(status) if found else None


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
    """With the short directory of the socket, where there is one. No link in the home is followed: code of a drilled
    database may have put it there."""
    short = short_socket_of(home)
    if _is_own_directory(short):
        shutil.rmtree(short, ignore_errors=True)
    for _ in range(50):
        shutil.rmtree(home, ignore_errors=True)
        if not os.path.lexists(home):
            return
        time.sleep(0.05)


def _is_own_directory(path: str) -> bool:
    """Root gives it to the server's user."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and os.geteuid() in (0, found.st_uid)


def main(arguments: list[str]) -> None:
    home, parent, uid, gid, sandbox, layers, seconds = arguments
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    confinement = Confinement(home, int(uid), int(gid))
    allowed = tuple(filter(None, layers.split(",")))
    Supervisor(home, int(parent), sandbox, allowed, confinement, time.monotonic() + float(seconds)).watch()
