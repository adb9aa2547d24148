"""Every kind of source passes the contract of sources. PostgreSQL's is with its servers."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from backup_platform.testing import SourceContract


@dataclass
class Tree:
    root: Path

    @property
    def settings(self) -> str:
        return f"files: {self.root}"

    @property
    def nowhere(self) -> str:
        return f"files: {self.root}/not/there"

    def change(self) -> None:
        """After a while: a change within a tick of the file system's clock is not seen by anybody."""
        time.sleep(0.05)
        (self.root / "a" / "b.txt").write_bytes(os.urandom(50_000))
        (self.root / "a" / "new").write_text("new")

    def neighbour(self) -> str:
        (self.root.parent / "beside").mkdir()
        (self.root.parent / "beside" / "it").write_text("it")
        return "beside"


class TestFiles(SourceContract):
    @pytest.fixture
    def subject(self, tmp_path: Path) -> Tree:
        root = tmp_path / "place" / "tree"
        (root / "a" / "c").mkdir(parents=True)
        (root / "a-b").mkdir()
        for name in ("a/b.txt", "a/c/d", "a-b/e", "z"):
            (root / name).write_bytes(name.encode() * 10_000)
        return Tree(root)


@dataclass
class Database:
    path: Path

    @property
    def settings(self) -> str:
        return f"sqlite: {self.path}"

    @property
    def nowhere(self) -> str:
        return f"sqlite: {self.path}.missing"

    def change(self) -> None:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.execute("INSERT INTO t SELECT id + 1000, hex(randomblob(50)) FROM t")


class TestSqlite(SourceContract):
    @pytest.fixture
    def subject(self, tmp_path: Path) -> Database:
        database = Database(tmp_path / "shop.db")
        with closing(sqlite3.connect(database.path)) as connection, connection:
            connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
            connection.executemany("INSERT INTO t VALUES (?, ?)", [(n, f"row {n}" * 20) for n in range(900)])
        return database
