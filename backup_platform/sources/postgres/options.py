"""What a plan says of a PostgreSQL source."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Facts = Literal["full", "sampled", "counts"]


@dataclass(frozen=True, slots=True)
class PostgresOptions:
    """`url` and `drill_server` are libpq connection strings and may hold passwords: they are in no repr.

    Patterns of `include` and `exclude` are `schema.table`, `schema.*` or `table` with `*` and `?`; what they leave
    out is listed in the recovery point. `lock_timeout` in seconds. `bin_dir` is where pg_dump is, found when None.
    `drill_server` names a database of the server on which drills create and drop one of their own; without it, drills
    start a private server. `isolated`: only where nothing else of the machine can be reached from that. `assertions`
    are queries that must return true in the restored database. `restore_owner` and `restore_privileges` say whether
    restores give objects to their captured owners, and restore grants.
    """

    url: str = field(repr=False)
    jobs: int = 2
    lock_timeout: float = 30.0
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    unlogged: bool = True
    large_objects: bool = True
    facts: Facts = "full"
    bin_dir: str | None = None
    drill_server: str | None = field(default=None, repr=False)
    isolated: bool = False
    assertions: tuple[str, ...] = ()
    restore_owner: bool = True
    restore_privileges: bool = True
