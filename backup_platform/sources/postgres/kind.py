"""PostgreSQL databases, as a kind of source."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from backup_platform.domain.ports import Source
from backup_platform.domain.schema_change import SCHEMA_UNCHANGED
from backup_platform.kinds.config import KindConfig
from backup_platform.kinds.kind import ServerRestore, SourceContext, SourceKind
from backup_platform.plan.values import Duration, LocalPath, Pattern, Reference
from backup_platform.sources.postgres.url import DatabaseUrl, with_password

EXTRA = "backup-platform[postgres]"


class PostgresConfig(KindConfig):
    postgres: DatabaseUrl
    password: Reference | None = None
    jobs: Annotated[int, Field(strict=True, ge=1, le=64)] = 2
    lock_timeout: Duration = timedelta(seconds=30)
    include: list[Pattern] = Field(default_factory=list)
    exclude: list[Pattern] = Field(default_factory=list)
    unlogged: bool = True
    large_objects: bool = True
    facts: Literal["full", "sampled", "counts"] = "full"
    bin_dir: LocalPath | None = None
    drill_server: DatabaseUrl | None = None
    drill_isolation: Literal["available", "required"] = "available"
    assertions: list[Annotated[str, Field(min_length=1)]] = Field(default_factory=list)
    restore_owner: bool = True
    restore_privileges: bool = True


def _build(config: PostgresConfig, context: SourceContext) -> Source:
    from backup_platform.sources.postgres.options import PostgresOptions
    from backup_platform.sources.postgres.source import PostgresSource

    location = context.located(config.postgres)
    password = context.secret(config.password) if config.password and context.purpose == "capture" else None
    drilled_on = config.drill_server if context.purpose == "drill" else None
    options = PostgresOptions(
        url=with_password(location, password) if password else location,
        jobs=config.jobs,
        lock_timeout=config.lock_timeout.total_seconds(),
        include=tuple(config.include),
        exclude=tuple(config.exclude),
        unlogged=config.unlogged,
        large_objects=config.large_objects,
        facts=config.facts,
        bin_dir=context.path(config.bin_dir) if config.bin_dir else None,
        drill_server=context.secret(drilled_on) if drilled_on else None,
        isolated=config.drill_isolation == "required",
        assertions=tuple(config.assertions),
        restore_owner=config.restore_owner,
        restore_privileges=config.restore_privileges,
    )
    return PostgresSource(context.name, options, context.clock)


KIND = SourceKind(
    "postgres",
    "PostgreSQL database",
    PostgresConfig,
    _build,
    rows=True,
    tables=True,
    server=ServerRestore(
        "postgresql://HOST/{source}",
        (
            "create",
            "schemas",
            "tables",
            "data_only",
            "schema_only",
            "occupied",
            "jobs",
            "exit_on_error",
            "owner",
            "privileges",
        ),
    ),
    checks=(SCHEMA_UNCHANGED,),
    unit="table",
    sizes="as Parquet",
    modules=dict.fromkeys(("psycopg", "adbc_driver_manager", "adbc_driver_postgresql"), EXTRA),
)
