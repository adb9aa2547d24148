"""A PostgreSQL server of the benchmark's own, its data, and what it spends."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import BenchmarkError

USER = "postgres"
SETTINGS = """
listen_addresses = ''
unix_socket_directories = '{sockets}'
fsync = off
shared_buffers = 512MB
max_wal_size = 4GB
autovacuum = off
synchronize_seqscans = off
"""
# The columns are those of a shop: keys, short and long texts, numbers, times, and documents.
TABLES = """
CREATE TABLE customer (id bigint PRIMARY KEY, name text NOT NULL, email text NOT NULL, country char(2) NOT NULL,
    balance numeric(12,2) NOT NULL, since date NOT NULL, settings jsonb NOT NULL);
CREATE TABLE purchase (id bigint PRIMARY KEY, customer_id bigint NOT NULL, status text NOT NULL,
    placed_at timestamptz NOT NULL, amount numeric(12,2) NOT NULL, reference uuid NOT NULL, note text,
    quantity int NOT NULL);
CREATE TABLE event (id bigint PRIMARY KEY, at timestamptz NOT NULL, kind text NOT NULL, payload text NOT NULL,
    weight double precision NOT NULL);
"""
CUSTOMERS = """INSERT INTO customer SELECT i, 'Customer ' || md5(i::text), 'c' || i || '@example.com',
    (ARRAY['DE','FR','PT','KE','JP'])[1 + i % 5], (hashint8(i) % 1000000) / 100.0, date '2015-01-01' + (i % 4000)::int,
    jsonb_build_object('theme', i % 7, 'mail', i % 2 = 0, 'token', md5((i * 7)::text))
    FROM generate_series({first}, {last}) i"""
PURCHASES = """INSERT INTO purchase SELECT i, abs(hashint8(i)) % {customers} + 1,
    (ARRAY['new','paid','sent','returned'])[1 + abs(hashint8(i + 1)) % 4],
    timestamptz '2020-01-01' + i * interval '17 s' + (hashint8(i + 2) % 1000) * interval '1 ms',
    (abs(hashint8(i + 3)) % 1000000) / 100.0, md5(i::text)::uuid,
    CASE WHEN i % 3 = 0 THEN 'deliver to ' || md5((i / 3)::text) || ' by noon' END,
    1 + abs(hashint8(i + 4)) % 9 FROM generate_series({first}, {last}) i"""
EVENTS = """INSERT INTO event SELECT i, timestamptz '2024-01-01' + i * interval '3 s',
    (ARRAY['click','view','search','buy'])[1 + abs(hashint8(i)) % 4],
    repeat('session=' || abs(hashint8(i / 20)) || ' path=/shop/' || i % 977 || ' ', 4) || md5(i::text),
    hashint8(i) / 1e6 FROM generate_series({first}, {last}) i"""
CHANGE_COLUMNS = """UPDATE purchase SET status = 'changed', quantity = quantity + 1
    WHERE abs(hashint8(id + {seed})) % 100 = 0"""
INDEXES = "CREATE INDEX ON purchase (customer_id); CREATE INDEX ON event (at); ANALYZE;"


@dataclass
class Server:
    """One cluster below `home`. A root user runs it as `postgres`."""

    binaries: Path
    home: Path

    @property
    def data(self) -> Path:
        return self.home / "data"

    def url(self, database: str = "shop") -> str:
        return f"postgresql:///{database}?host={self.home}&user={USER}"

    def create(self) -> None:
        self.home.mkdir(mode=0o755)
        for parent in self.home.parents[:2]:
            if parent.stat().st_uid == os.geteuid() and parent.stat().st_mode & 0o5 != 0o5:
                parent.chmod(parent.stat().st_mode | 0o5)
        if os.geteuid() == 0:
            shutil.chown(self.home, USER)
        self._run("initdb", "-D", str(self.data), "-U", USER, "-A", "trust", "--no-sync", "-E", "UTF8")
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(SETTINGS.format(sockets=self.home))

    def start(self) -> None:
        self._run("pg_ctl", "-D", str(self.data), "-l", str(self.home / "log"), "-w", "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self.data), "-m", "fast", "-w", "stop")

    def sql(self, *statements: str, database: str = "shop") -> str:
        words = [word for statement in statements for word in ("-c", statement)]
        return self._run("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", self.url(database), *words)

    def fill(self, purchases: int) -> None:
        """Some 600 bytes a purchase, in three tables."""
        self.sql("CREATE DATABASE shop", database="postgres")
        self.sql(TABLES)
        customers, events = max(1, purchases // 8), purchases
        self.sql(CUSTOMERS.format(first=1, last=customers))
        self.sql(PURCHASES.format(first=1, last=purchases, customers=customers))
        self.sql(EVENTS.format(first=1, last=events))
        self.sql(INDEXES)

    def change(self, seed: int) -> None:
        """Two columns of eight in a hundredth of the purchases, at random places."""
        self.sql(CHANGE_COLUMNS.format(seed=seed))

    def append(self, purchases: int, number: int) -> None:
        """A hundredth more purchases and events."""
        more, customers = max(1, purchases // 100), max(1, purchases // 8)
        first = purchases + 1 + number * more
        self.sql(
            PURCHASES.format(first=first, last=first + more - 1, customers=customers),
            EVENTS.format(first=first, last=first + more - 1),
        )

    def size(self, database: str = "shop") -> int:
        return int(self.sql(f"SELECT pg_database_size('{database}')"))

    def processor_s(self) -> float:
        """User and system time of the server and of all that it started, dead or alive."""
        postmaster = int((self.data / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        return sum(_times(postmaster)) + sum(sum(_times(int(child))[:2]) for child in children)

    def _run(self, program: str, *arguments: str) -> str:
        user = USER if os.geteuid() == 0 else None
        # A server keeps its output open: with a pipe, waiting for its end would wait for the server's.
        with (self.home.parent / f"{program}.out").open("w+") as output:
            done = subprocess.run(
                [str(self.binaries / program), *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                check=False,
                user=user,
                group=user,
            )
            output.seek(0)
            text = output.read()
        if done.returncode:
            raise BenchmarkError(f"{program} {' '.join(arguments)} ended with {done.returncode}:\n{text}")
        return text.strip()


def _times(process: int) -> Sequence[float]:
    """Own user and system time, and that of children that were waited for, in seconds."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return (0.0, 0.0)
    ticks = os.sysconf("SC_CLK_TCK")
    return [int(value) / ticks for value in fields[11:15]]
