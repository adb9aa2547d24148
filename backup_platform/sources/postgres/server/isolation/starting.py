"""Start a program with as little around it as the machine allows.

user         it runs as a user that owns nothing else: only root can do that
namespaces   it sees a root directory with hardly anything in it, no other process and no network
landlock     the kernel refuses it all files but its own, TCP, and signals to others
seccomp      the kernel refuses it sockets to anywhere, and what reaches into other processes
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from backup_platform.sources.postgres.server.isolation import kernel, landlock, namespaces, seccomp
from backup_platform.sources.postgres.server.isolation.places import USERS, data_of, places_for

USER, NAMESPACES, LANDLOCK, SECCOMP = "user", "namespaces", "landlock", "seccomp"
LAYERS = (NAMESPACES, LANDLOCK, SECCOMP)
NOT_STARTED = 126
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True, slots=True)
class Confinement:
    """`uid` is -1 where the program runs as the user who starts it."""

    home: str
    uid: int
    gid: int
    layers: tuple[str, ...] = ()
    environment: Mapping[str, str] | None = None

    @property
    def jail(self) -> str:
        return os.path.join(self.home, "jail")


def choices(allowed: Sequence[str]) -> list[tuple[str, ...]]:
    """The layers to try, most first; of as many, those that shut off files first."""
    known = [layer for layer in LAYERS if layer in allowed]
    return [some for size in range(len(known), -1, -1) for some in combinations(known, size)]


def start(command: Sequence[str], confinement: Confinement, log: str) -> int:
    """The process; what it says is appended to `log`. It ends with this one. Exit code 126: it was not started.

    Only for processes of one thread: what is done between fork and exec is done in Python.
    """
    process = os.fork()
    if process:
        return process
    try:
        _redirect(log, confinement.home)
        _confine_and_run(command, confinement)
    except BaseException as error:
        os.write(2, f"{command[0]} was not started: {error}\n".encode())
    finally:
        os._exit(NOT_STARTED)


def _redirect(log: str, home: str) -> None:
    nothing, written = (
        os.open(os.devnull, os.O_RDONLY),
        os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600),
    )
    for number, descriptor in ((0, nothing), (1, written), (2, written)):
        os.dup2(descriptor, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.chdir(data_of(home))
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)


def _confine_and_run(command: Sequence[str], confinement: Confinement) -> None:
    places = places_for(command[0], confinement.home)
    readable = places.readable
    if NAMESPACES in confinement.layers:
        os.makedirs(confinement.jail, exist_ok=True)
        owner = _owner(confinement)
        namespaces.enter(confinement.jail, readable, places.writable, owner)
        _die_with_parent(signal.SIGKILL)
        _wait_in_between()
        os.chdir(data_of(confinement.home))
    _become(confinement)
    if LANDLOCK in confinement.layers:
        landlock.restrict((*readable, *USERS), places.writable)
    if SECCOMP in confinement.layers:
        seccomp.restrict()
    # After the change of user, which would clear it.
    _die_with_parent(signal.SIGKILL if NAMESPACES in confinement.layers else signal.SIGQUIT)
    os.execve(command[0], list(command), dict(confinement.environment or _ENVIRONMENT))  # noqa: S606


def _become(confinement: Confinement) -> None:
    """Without the capabilities that a service may have been given to read everything."""
    if confinement.uid >= 0:
        os.setgroups([])
        os.setgid(confinement.gid)
        os.setuid(confinement.uid)
    elif sys.platform.startswith("linux"):
        kernel.prctl(kernel.AMBIENT, kernel.CLEAR_ALL)


def _owner(confinement: Confinement) -> tuple[int, int]:
    if confinement.uid >= 0:
        return confinement.uid, confinement.gid
    return os.geteuid(), os.getegid()


def _wait_in_between() -> None:
    """The first process of the new namespace goes on; this one hands on signals and the exit code."""
    process = os.fork()
    if not process:
        return
    for number in (signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, lambda got, _: os.kill(process, got))
    _, status = os.waitpid(process, 0)
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


def _die_with_parent(number: int) -> None:
    """Only Linux has it; elsewhere the pipe of the supervisor alone must do."""
    if sys.platform.startswith("linux"):
        kernel.prctl(kernel.PDEATHSIG, number)
