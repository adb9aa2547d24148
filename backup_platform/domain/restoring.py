"""A restore into a database server: what was requested, what it will do, and what it did."""

from __future__ import annotations

from dataclasses import dataclass, field

from backup_platform.advice import Hint
from backup_platform.domain.model import RecoveryPoint


@dataclass(frozen=True, slots=True)
class DatabaseTarget:
    """Where and what to restore. `url` may hold a password: it is not part of the repr.

    `tables` and `schemas` narrow the restore; both empty means the whole database. `create` makes the target
    database, which must not exist then; otherwise it must exist and be empty, unless `occupied` allows what is
    there to stay beside what is restored. Nothing that is there is ever replaced.

    `exit_on_error` stops at the first step in which something failed; otherwise everything that can be restored is.
    `owner` and `privileges` say whether captured owners and grants are restored; None leaves it to the plan.
    """

    url: str = field(repr=False)
    schemas: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    data_only: bool = False
    schema_only: bool = False
    create: bool = False
    occupied: bool = False
    jobs: int = 2
    exit_on_error: bool = False
    owner: bool | None = None
    privileges: bool | None = None


@dataclass(frozen=True, slots=True)
class RestoreFailure:
    """One thing that was not restored. `what` names it, and `said` are the server's words. `because` names something
    that it needs and that was not restored either. `entry` is its line in the archive's table of contents, as
    `pg_restore --list` shows it. It is empty if there is none."""

    what: str
    said: str
    because: str = ""
    entry: str = ""


@dataclass(frozen=True, slots=True)
class DatabaseRestorePlan:
    """What a restore will do; printable, and free of secrets except in `target`.

    `steps` are sentences, in order. `left_out` are sentences that name what is known not to be restored on this
    server or by this role, although it was asked for. `conflicts` stop the restore before anything is written.
    `advice` says what could be done first.
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
    left_out: tuple[str, ...] = ()
    advice: tuple[Hint, ...] = ()


@dataclass(frozen=True, slots=True)
class DatabaseRestoreSummary:
    """What a restore did: how many tables it restored completely, and how many rows in all. `left_out` is that of the
    plan. `failures` are what the server refused, in the order of their dependencies. `advice` says what to do about
    them, and about the plan's warnings."""

    tables: int
    rows: int
    bytes: int
    duration_s: float
    warnings: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    failures: tuple[RestoreFailure, ...] = ()
    advice: tuple[Hint, ...] = ()

    @property
    def complete(self) -> bool:
        """Was everything restored that was asked for?"""
        return not self.left_out and not self.failures
