"""Captures tables in a process of its own, and prints the most memory that it needed, in MiB."""

from __future__ import annotations

import sys
from pathlib import Path

import psycopg

from backup_platform.repository.creating import init_repository
from backup_platform.repository.repository import Repository
from backup_platform.repository.session import Session
from backup_platform.stores.object_store import DirectoryStore
from backup_platform_tests.sources.postgres.capture.reading_support import read, relation_of
from backup_platform_tests.support import ManualClock


def peak() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def main(url: str, root: str, *tables: str) -> None:
    clock, store = ManualClock(), DirectoryStore(root)
    init_repository(store, clock)
    with psycopg.connect(url) as connection:
        relations = [relation_of(connection, name) for name in tables]
    with Session(Repository(store, clock), None) as session:
        read(url, *relations, recorder=session.recorder, jobs=2)
        session.finish()
    print(peak())


if __name__ == "__main__":
    main(*sys.argv[1:])
