"""What a restore into a database server is asked for, will do, and has done."""

from __future__ import annotations

from dataclasses import dataclass, field

from backup_platform.domain.model import RecoveryPoint


@dataclass(frozen=True, slots=True)
class DatabaseTarget:
    """Where and what to restore. `url` may hold a password: it is not part of the repr.

    `tables` and `schemas` narrow the restore; both empty means the whole database. `create` makes the target
    database, which must not exist then; otherwise it must exist and be empty, unless `occupied` allows what is
    there to stay beside what is restored. Nothing that is there is ever replaced.
    """

    url: str = field(repr=False)
    schemas: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    data_only: bool = False
    schema_only: bool = False
    create: bool = False
    occupied: bool = False
    jobs: int = 2


@dataclass(frozen=True, slots=True)
class DatabaseRestorePlan:
    """What a restore will do; printable, and free of secrets except in `target`.

    `steps` are sentences, in order. `conflicts` stop the restore before anything is written.
    """

    point: RecoveryPoint
    target: DatabaseTarget
    server: str  # host and version, for people
    database: str
    tables: tuple[str, ...]
    rows: int
    bytes: int  # stored size of the tables
    steps: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DatabaseRestoreSummary:
    """What a restore did."""

    tables: int
    rows: int
    bytes: int
    duration_s: float
    warnings: tuple[str, ...] = ()
