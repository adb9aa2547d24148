"""File trees, as a kind of source."""

from __future__ import annotations

import os
from typing import Annotated

from pydantic import AfterValidator, Field

from backup_platform.domain.coverage import Surroundings
from backup_platform.domain.ports import Source
from backup_platform.errors import PlanError
from backup_platform.kinds.config import KindConfig
from backup_platform.kinds.kind import KindSurvey, LookContext, SourceContext, SourceKind
from backup_platform.plan.values import LocalPath


def _exclude(pattern: str) -> str:
    from backup_platform.sources.files.gitignore import parse

    try:
        parse(pattern)
    except PlanError as error:
        raise ValueError(error.message) from None
    return pattern


class FilesConfig(KindConfig):
    files: LocalPath
    exclude: list[Annotated[str, Field(min_length=1), AfterValidator(_exclude)]] = Field(default_factory=list)
    one_file_system: bool = False
    exclude_caches: bool = False
    follow_symlinks: bool = False


def _build(config: FilesConfig, context: SourceContext) -> Source:
    from backup_platform.sources.files.source import FileTreeSource

    return FileTreeSource(
        context.name,
        context.located(config.files),
        context.clock,
        exclude=tuple(config.exclude),
        repositories=context.repositories(),
        one_file_system=config.one_file_system,
        exclude_caches=config.exclude_caches,
        follow_symlinks=config.follow_symlinks,
    )


class FilesLook(KindConfig):
    """A directory, in which sources are looked for."""

    files: LocalPath


def _look(config: FilesLook, context: LookContext) -> Surroundings:
    from backup_platform.sources.files.survey import survey

    return survey(context.path(config.files), context)


def _beside(config: FilesConfig) -> FilesLook:
    return FilesLook(files=os.path.dirname(config.files.rstrip("/")) or "/")


KIND = SourceKind(
    "files",
    "file tree",
    FilesConfig,
    _build,
    local=True,
    tree=True,
    survey=KindSurvey(FilesLook, _look, _beside),
)
