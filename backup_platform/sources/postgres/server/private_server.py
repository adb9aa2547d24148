"""A temporary server, tuned for one restore. Only its starter can reach it, and nothing of it stays afterwards."""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
import select
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import quote

import backup_platform
from backup_platform.errors import SourceError
from backup_platform.sources import children
from backup_platform.sources.postgres.server import supervisor
from backup_platform.sources.postgres.server.account import Account, server_account, usable_binaries
from backup_platform.sources.postgres.server.directories import (
    OTHER_PLACES,
    Home,
    make_home,
    read_regular,
    write_anew,
)
from backup_platform.sources.postgres.server.isolation.starting import LAYERS, USER

SUPERUSER = "postgres"
START_TIMEOUT_S = 120.0
END_TIMEOUT_S = 60.0
# With nothing of this installation in its path but this package, which comes last.
_PACKAGES = os.path.dirname(os.path.dirname(backup_platform.__file__))
_GUARD = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from backup_platform.sources.postgres.server.supervisor import main; main(sys.argv[2:])"
)
_LOG_TAIL = 2000
_PID_FILE_LIMIT = 8192
_PASSWORD_ONLY = ("local all all scram-sha-256",)

# Nothing here has to survive a crash. Shared memory in files: containers often have a /dev/shm of 64 MB, and what a
# killed server leaves there nobody would remove.
TUNING: Mapping[str, str] = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "archive_mode": "off",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
    "shared_buffers": "128MB",
    "maintenance_work_mem": "256MB",
    "dynamic_shared_memory_type": "mmap",
    "huge_pages": "off",
    "max_locks_per_transaction": "1024",
    "jit": "off",
    "ssl": "off",
    "logging_collector": "off",
    "log_min_messages": "warning",
}
IN_PLACE_TABLESPACES_SINCE = 15
EVENT_TRIGGERS_SINCE = 17  # that they can be turned off
_SILENT: Mapping[str, str] = {"event_triggers": "off"}


@dataclass(frozen=True, slots=True)
class PrivateServer:
    """`bin_dir` is where its programs are for this user; `major` its version. The password is in no repr."""

    home: Home
    bin_dir: str
    major: int
    password: str = field(repr=False)
    superuser: str
    supervisor: children.Child = field(repr=False)
    isolation: tuple[str, ...]

    def url(self, database: str = "postgres", user: str = "") -> str:
        """For the superuser, or for a role with the same password."""
        host = quote(self.home.socket_dir, safe="")
        return f"postgresql://{quote(user or self.superuser)}:{self.password}@/{quote(database, safe='')}?host={host}"

    def log_tail(self) -> str:
        """The end of the server's log, for an error's text."""
        return self.home.log_tail(_LOG_TAIL)


@contextmanager
def private_server(
    bin_dir: str,
    *,
    base: str | None = None,
    sandbox: str = "",
    jobs: int = 2,
    settings: Mapping[str, str] | None = None,
    hba: Sequence[str] = _PASSWORD_ONLY,
    layers: Sequence[str] | None = None,
    superuser: str = SUPERUSER,
    event_triggers: bool = True,
    longest_s: float = math.inf,
) -> Iterator[PrivateServer]:
    """Run the server in `bin_dir` with its home below `base` ($TMPDIR), for `jobs` sessions at a time.

    When the block ends the server does at once, and its home is removed. So they are when this process is killed: a
    supervisor process sees to it, and removes the directory `sandbox` as well if it is empty. Of `layers` (all) it
    has as many as the machine allows. Without `event_triggers` none fires, of servers that can do that. After
    `longest_s` seconds it ends, whatever runs.

    Raises `SourceError`.
    """
    bin_dir, account = os.path.realpath(bin_dir), server_account()
    home = make_home(_base(base, account))
    with home.log:
        try:
            watcher = _supervisor(home, account, sandbox, LAYERS if layers is None else layers, longest_s)
        except OSError:
            supervisor.remove_home(home.path)
            raise
        finally:
            os.close(home.lock)
        try:
            silent = {} if event_triggers else dict(_SILENT)
            yield _started(
                home, account, watcher, superuser, bin_dir, jobs, silent | dict(settings or {}), hba
            )
        finally:
            _end(watcher)


def _base(base: str | None, account: Account) -> str:
    """Where the server's account gets to, which it does not in a private $TMPDIR of root's."""
    preferred = base or tempfile.gettempdir()
    for path in (preferred, *OTHER_PLACES):
        if account.runs("/bin/sh", "-c", 'cd -- "$0"', path):
            return path
    return preferred


def _supervisor(
    home: Home, account: Account, sandbox: str, layers: Sequence[str], longest_s: float
) -> children.Child:
    numbers = [str(number) for number in (os.getpid(), account.uid, account.gid)]
    return children.start(
        [
            *(sys.executable, "-I", "-S", "-c", _GUARD, _PACKAGES),
            *(home.path, *numbers, sandbox, ",".join(layers), str(longest_s)),
        ],
        stdin=children.PIPE,
        stdout=children.PIPE,
        stderr=children.NOTHING,
        cwd="/",
        pass_fds=[home.lock],
        start_new_session=True,
        bufsize=0,
    )


def _end(watcher: children.Child) -> None:
    assert watcher.stdin is not None
    assert watcher.stdout is not None
    with contextlib.suppress(OSError):
        watcher.stdin.write(b"stop\n")
    watcher.stdin.close()
    try:
        watcher.wait(END_TIMEOUT_S)
    except children.StillRunning:
        watcher.kill()
        watcher.wait()
    watcher.stdout.close()


def _started(
    home: Home,
    account: Account,
    watcher: children.Child,
    superuser: str,
    bin_dir: str,
    jobs: int,
    settings: Mapping[str, str],
    hba: Sequence[str],
) -> PrivateServer:
    account.may_enter(home.path)
    binaries = usable_binaries(bin_dir, account, home.path)
    layers = _layers(watcher, os.path.join(binaries, "initdb"), home)
    isolation = ((USER,) if account.uid >= 0 else ()) + layers
    server = PrivateServer(
        home, bin_dir, _major(binaries), secrets.token_urlsafe(24), superuser, watcher, isolation
    )
    write_anew(home.password, server.password)
    account.owns([home.data, home.socket_dir, home.password])
    _initialise(server, os.path.join(binaries, "initdb"))
    os.unlink(home.password)
    home.log.truncate(0)  # of no interest any more, and in the way of what will be
    write_anew(os.path.join(home.data, "pg_hba.conf"), "".join(line + "\n" for line in hba))
    account.owns([os.path.join(home.data, "pg_hba.conf")])
    chosen = _settings(server, jobs) | {
        name: value for name, value in settings.items() if _known(server, name)
    }
    options = [f"--{name}={value}" for name, value in chosen.items()]
    _send(watcher, [os.path.join(binaries, "postgres"), "-D", home.data, *options])
    _await_ready(server)
    return server


def _major(bin_dir: str) -> int:
    done = children.run([os.path.join(bin_dir, "postgres"), "--version"])
    return int(done.stdout.split()[2].split(b".")[0].rstrip(b"abcdefghijklmnopqrstuvwxyz") or 0)


def _known(server: PrivateServer, name: str) -> bool:
    return name not in _SILENT or server.major >= EVENT_TRIGGERS_SINCE


def _settings(server: PrivateServer, jobs: int) -> dict[str, str]:
    chosen = dict(TUNING) | {
        "unix_socket_directories": server.home.socket_dir,
        "max_connections": str(4 * jobs + 16),
    }
    if server.major >= IN_PLACE_TABLESPACES_SINCE:
        chosen["allow_in_place_tablespaces"] = "on"
    return chosen


def _initialise(server: PrivateServer, initdb: str) -> None:
    options = ["--auth=scram-sha-256", f"--pwfile={server.home.password}", "--no-sync", "--no-instructions"]
    if server.major < 14:
        options.remove("--no-instructions")
    if server.major >= 18:
        options.append("--no-data-checksums")
    target = ["-D", server.home.data, "-U", server.superuser, "--locale=C", "--encoding=UTF8"]
    _send(server.supervisor, [initdb, *target, *options])
    answer = _answer(server.supervisor, START_TIMEOUT_S)
    if answer != "exit 0":
        raise _failed(server, f"initdb: {answer or 'no answer'}")


def _layers(watcher: children.Child, initdb: str, home: Home) -> tuple[str, ...]:
    """Those that later commands run in. initdb starts a shell and the server, and asks for its user's name."""
    _send(
        watcher, [initdb, "--show", "-D", home.data, "-U", SUPERUSER, "--locale=C", "--encoding=UTF8"], "try "
    )
    _, _, layers = _answer(watcher, START_TIMEOUT_S).partition("in ")
    return tuple(filter(None, layers.split(",")))


def _send(watcher: children.Child, command: list[str], verb: str = "") -> None:
    assert watcher.stdin is not None
    watcher.stdin.write(f"{verb}{json.dumps(command)}\n".encode())


def _answer(watcher: children.Child, timeout: float) -> str:
    """The supervisor's next line, "" when there is none in time."""
    assert watcher.stdout is not None
    readable, _, _ = select.select([watcher.stdout], [], [], timeout)
    return watcher.stdout.readline().decode().strip() if readable else ""


def _await_ready(server: PrivateServer) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not _is_ready(server):
        answer = _answer(server.supervisor, 0.02)
        if answer or server.supervisor.poll() is not None:
            raise _failed(server, answer or "it was ended")
        if time.monotonic() > deadline:
            raise _failed(server, f"not ready after {START_TIMEOUT_S:.0f} s")


def _is_ready(server: PrivateServer) -> bool:
    """The eighth line of postmaster.pid is the server's state."""
    try:
        lines = read_regular(os.path.join(server.home.data, "postmaster.pid"), _PID_FILE_LIMIT).split("\n")
    except FileNotFoundError:
        return False
    return len(lines) > 7 and lines[7].strip() == "ready"


def _failed(server: PrivateServer, what: str) -> SourceError:
    return SourceError(
        f"The private server of PostgreSQL {server.major} did not start ({what}). "
        f"The end of its log: {server.log_tail() or 'it is empty'}",
        hint="Repair the installation in bin_dir, or name a drill_server in the plan.",
    )
