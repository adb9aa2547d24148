"""The models. Every key that is not here is refused."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from backup_platform.domain.cadence import CADENCES, Cadence
from backup_platform.errors import PlanError
from backup_platform.plan.document import HINT, read_document
from backup_platform.plan.fields import (
    REFERENCE,
    SOURCE_NAME,
    AlertUrl,
    CadenceName,
    Cron,
    Day,
    Duration,
    Referring,
    Share,
    TimeZone,
    WallTime,
    resolve,
)
from backup_platform.plan.problems import problems_of

KINDS = ("files", "sqlite")
FILES_ONLY = ("exclude", "one_file_system", "exclude_caches", "follow_symlinks")
SQLITE_ONLY = ("lock_timeout",)


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Keep(Strict):
    """How many recovery points are kept: the newest of each hour, day and so on; `within` keeps all of that time."""

    hourly: int = Field(0, ge=0)
    daily: int = Field(0, ge=0)
    weekly: int = Field(0, ge=0)
    monthly: int = Field(0, ge=0)
    yearly: int = Field(0, ge=0)
    last: int = Field(0, ge=0)
    within: Duration = timedelta(0)


class RepositoryPlan(Strict):
    """Where recovery points are stored: a directory or a URL. `compression` is zstd's level."""

    path: Referring
    compression: int = Field(3, ge=1, le=19)


class SourcePlan(Strict):
    """One thing to protect, when, and how it is proven."""

    files: str | None = None
    sqlite: str | None = None
    every: CadenceName | None = None
    cron: Cron | None = None
    at: WallTime | None = None
    timezone: TimeZone = "UTC"
    since: Day | None = None
    late_limit: Duration = timedelta(0)
    keep: Keep | None = None
    exclude: tuple[str, ...] = ()
    one_file_system: bool = False
    exclude_caches: bool = False
    follow_symlinks: bool = False
    lock_timeout: Duration = timedelta(seconds=30)
    drill: Literal["window", "daily", "weekly", "never"] = "window"
    verify: Share = "all"
    owners: tuple[str, ...] = ()
    tags: dict[str, str] = Field(default_factory=dict)
    description: str = ""
    max_runtime: Duration = timedelta(hours=6)
    retries: int = Field(3, ge=0, le=20)

    @property
    def kind(self) -> str:
        return "files" if self.files is not None else "sqlite"

    @property
    def location(self) -> str:
        return self.files if self.files is not None else self.sqlite or ""

    @property
    def cadence(self) -> Cadence:
        return CADENCES[self.every] if self.every else Cadence.from_cron(self.cron or "")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        named = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(named) != 1:
            raise ValueError(f"a source has exactly one of {' and '.join(KINDS)}, this one has {len(named) or 'neither'}")
        if (self.every is None) == (self.cron is None):
            raise ValueError("a source has either `every` or `cron`" + (", this one has both" if self.cron else ""))
        for name in SQLITE_ONLY if self.kind == "files" else FILES_ONLY:
            if name in self.model_fields_set:
                raise ValueError(f"`{name}` has no meaning for a source of kind {self.kind}")
        problem = self.cadence.at_problem(self.at) if self.at else None
        if problem:
            raise ValueError(problem)
        return self


class Plan(Strict):
    """The whole plan. Secrets are references until `secret` resolves one."""

    repository: RepositoryPlan
    sources: dict[str, SourcePlan] = Field(min_length=1)
    since: Day | None = None
    alerts: tuple[AlertUrl, ...] = ()

    _base: str = PrivateAttr(default=".")

    @model_validator(mode="after")
    def _names(self) -> Self:
        for name in self.sources:
            if not SOURCE_NAME.fullmatch(name):
                raise ValueError(
                    f"{name!r} is no name for a source: lower-case letters, digits and _, starting with a letter or digit"
                )
        return self

    @classmethod
    def load(cls, path: str) -> Plan:
        """Read a plan. Raises PlanError that lists everything that is wrong, with file and line."""
        document = read_document(_read(path))
        shown = os.path.relpath(path) if os.path.abspath(path).startswith(os.getcwd() + os.sep) else path
        problems = list(document.problems)
        if document.data is None and not problems:
            problems.append((1, "the plan is empty"))
        elif not isinstance(document.data, dict) and not problems:
            problems.append((1, "the plan is not a mapping of keys to values"))
        if isinstance(document.data, dict):
            try:
                plan = cls.model_validate(_absolute(document.data, os.path.dirname(os.path.abspath(path))))
            except ValidationError as error:
                problems += problems_of(error, document, cls)
            else:
                plan._base = os.path.dirname(os.path.abspath(path))
                if not problems:
                    return plan
        text = "\n".join(f"{shown}:{line}: {problem}" for line, problem in sorted(problems))
        raise PlanError(f"The plan is not valid.\n{text}", hint=HINT if len(problems) == 1 and not document.data else "")

    def secret(self, value: str) -> str:
        """A value with its references resolved. Raises PlanError."""
        return resolve(value, self._base)

    def references(self) -> list[str]:
        """Every string of the plan that refers to a secret."""
        values = [self.repository.path, *self.alerts]
        return [value for value in values if REFERENCE.search(value)]


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError as error:
        raise PlanError(f"There is no plan at {path}.", hint=f"Write one, or name it with --plan.\n{HINT}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError(f"The plan {path} cannot be read: {error}.", hint="It must be a UTF-8 text file.") from error


def _absolute(data: dict[str, Any], base: str) -> dict[str, Any]:
    """Relative paths are relative to the plan's directory."""
    result = dict(data)
    repository = data.get("repository")
    if isinstance(repository, dict) and isinstance(repository.get("path"), str):
        result["repository"] = {**repository, "path": _path(repository["path"], base)}
    sources = data.get("sources")
    if isinstance(sources, dict):
        result["sources"] = {name: _absolute_source(source, base) for name, source in sources.items()}
    return result


def _absolute_source(source: Any, base: str) -> Any:
    if not isinstance(source, dict):
        return source
    paths = {kind: _path(source[kind], base) for kind in KINDS if isinstance(source.get(kind), str)}
    return {**source, **paths}


def _path(value: str, base: str) -> str:
    if "://" in value or REFERENCE.match(value):
        return value
    return os.path.normpath(os.path.join(base, os.path.expanduser(value)))
