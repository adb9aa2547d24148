"""PostgreSQL databases, as a kind of source."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from backup_platform.domain.coverage import Neighbour, Surroundings
from backup_platform.domain.ports import Source
from backup_platform.domain.schema_change import SCHEMA_UNCHANGED
from backup_platform.errors import PlanError
from backup_platform.kinds.config import KindConfig
from backup_platform.kinds.kind import (
    KindSurvey,
    LookContext,
    PlannedSource,
    ServerRestore,
    SourceContext,
    SourceKind,
)
from backup_platform.plan.values import Duration, LocalPath, Pattern, Reference
from backup_platform.sources.postgres.url import DatabaseUrl, with_password

if TYPE_CHECKING:
    from backup_platform.sources.postgres.options import PostgresOptions
    from backup_platform.sources.postgres.survey import SourcePlace

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


class PostgresLook(KindConfig):
    """A server, whose databases are looked at. The URL names any of them."""

    postgres: DatabaseUrl
    password: Reference | None = None


def _build(config: PostgresConfig, context: SourceContext) -> Source:
    from backup_platform.sources.postgres.source import PostgresSource

    return PostgresSource(context.name, _options(config, context), context.clock)


def _options(config: PostgresConfig, context: SourceContext) -> PostgresOptions:
    from backup_platform.sources.postgres.options import PostgresOptions

    location = context.located(config.postgres)
    password = context.secret(config.password) if config.password and context.purpose == "capture" else None
    drilled_on = config.drill_server if context.purpose == "drill" else None
    return PostgresOptions(
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


def _look(config: PostgresLook, context: LookContext) -> Surroundings:
    from backup_platform.sources.postgres.survey import Place, survey

    password = context.secret(config.password) if config.password else None
    url = context.path(config.postgres)
    place = Place(
        with_password(url, password) if password else url, written=config.postgres, password=config.password
    )
    return survey(place, [_place_of(source, context) for source in context.of_kind("postgres")])


def _place_of(source: PlannedSource, context: LookContext) -> SourcePlace:
    from backup_platform.sources.postgres.survey import SourcePlace

    config = source.config
    assert isinstance(config, PostgresConfig)
    try:
        url = context.path(config.postgres)
        return SourcePlace(
            source, with_password(url, context.secret(config.password)) if config.password else url
        )
    except PlanError as error:
        return SourcePlace(source, None, error.message)


def _beside(config: PostgresConfig) -> PostgresLook:
    return PostgresLook(postgres=config.postgres, password=config.password)


def _left_out(config: PostgresConfig, context: SourceContext) -> Sequence[Neighbour]:
    from backup_platform.sources.postgres.survey import left_out

    return list(left_out(context.name, _options(config, context)))


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
    survey=KindSurvey(PostgresLook, _look, _beside),
    left_out=_left_out,
    checks=(SCHEMA_UNCHANGED,),
    unit="table",
    sizes="as Parquet",
    modules=dict.fromkeys(("psycopg", "adbc_driver_manager", "adbc_driver_postgresql"), EXTRA),
)
