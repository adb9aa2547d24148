"""PostgreSQL passes the contract of sources."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest

from backup_platform.testing import SourceContract
from backup_platform_tests.sources.postgres.servers import Server, embedded_18, running

TABLES = """
CREATE TABLE t (id int PRIMARY KEY, v text, tags text[]);
INSERT INTO t SELECT i, md5(i::text), ARRAY['a', i::text] FROM generate_series(1, 2000) i;
CREATE VIEW w AS SELECT count(*) FROM t;
"""


@dataclass
class Database:
    url: str

    @property
    def settings(self) -> str:
        """Drills in a database of the same server are the quicker ones."""
        return f'postgres: "{self.url}", drill_server: "{self.url}"'

    @property
    def nowhere(self) -> str:
        return 'postgres: "postgresql://127.0.0.1:1/nothing"'

    def change(self) -> None:
        with psycopg.connect(self.url) as connection:
            connection.execute("UPDATE t SET v = 'changed' WHERE id % 7 = 0")
            connection.execute("DELETE FROM t WHERE id % 11 = 0")

    def neighbour(self) -> str:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE beside")
        with psycopg.connect(self.url, dbname="beside") as connection:
            connection.execute("CREATE TABLE x AS SELECT 1 AS n")
        return "beside"

    def leave_out(self) -> tuple[str, str]:
        return "exclude: [t]", "public.t"


@pytest.fixture(scope="module")
def server18() -> Iterator[Server]:
    """Of these tests alone: the databases of other tests would be findings of coverage."""
    with running(embedded_18()) as server:
        yield server


class TestPostgres(SourceContract):
    @pytest.fixture
    def subject(self, database18: str) -> Iterator[Database]:
        with psycopg.connect(database18) as connection:
            connection.execute(TABLES)
        yield Database(database18)
        with psycopg.connect(database18, autocommit=True) as connection:
            connection.execute("DROP DATABASE IF EXISTS beside")
