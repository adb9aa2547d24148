"""SQLite databases, as a kind of source."""

from __future__ import annotations

from datetime import timedelta

from backup_platform.domain.ports import Source
from backup_platform.domain.schema_change import SCHEMA_UNCHANGED
from backup_platform.kinds.config import KindConfig
from backup_platform.kinds.kind import SourceContext, SourceKind
from backup_platform.plan.values import Duration, LocalPath


class SqliteConfig(KindConfig):
    sqlite: LocalPath
    lock_timeout: Duration = timedelta(seconds=30)


def _build(config: SqliteConfig, context: SourceContext) -> Source:
    from backup_platform.sources.sqlite.source import SqliteSource

    return SqliteSource(
        context.name,
        context.located(config.sqlite),
        config.lock_timeout.total_seconds(),
        context.clock,
        repositories=context.repositories(),
    )


KIND = SourceKind(
    "sqlite", "SQLite database", SqliteConfig, _build, local=True, rows=True, checks=(SCHEMA_UNCHANGED,)
)
