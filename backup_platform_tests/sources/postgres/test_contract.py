"""PostgreSQL passes the contract of sources."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
import pytest

from backup_platform.testing import SourceContract

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


class TestPostgres(SourceContract):
    @pytest.fixture
    def subject(self, database18: str) -> Database:
        with psycopg.connect(database18) as connection:
            connection.execute(TABLES)
        return Database(database18)
