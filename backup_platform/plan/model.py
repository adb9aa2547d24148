"""The models of a plan. Unknown keys are refused; values are checked by the types of `values`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, model_validator
from pydantic_core import PydanticCustomError

from backup_platform.domain.cadence import CADENCES, Cadence
from backup_platform.errors import NotFoundError, PlanError
from backup_platform.plan.document import Document, Origin
from backup_platform.plan.expect import AllowEmpty, ExpectPlan, expect_conflicts
from backup_platform.plan.references import problem_of, references, resolve
from backup_platform.plan.repository import (
    FIRST_REPOSITORY,
    CopiesPlan,
    KeepPlan,
    Repositories,
    RepositoryPlan,
)
from backup_platform.plan.values import (
    Alert,
    At,
    Count,
    Cron,
    DatabaseUrl,
    Day,
    Duration,
    Every,
    LocalPath,
    Owner,
    Pattern,
    Percentage,
    RepositoryName,
    Share,
    SourceName,
    Span,
    TagKey,
    TagValue,
    Timezone,
    Whereabouts,
    absolute,
    is_url,
    only_reference,
    parse_at,
    parse_pattern,
    same_place,
    whereabouts,
)

CONFLICT = "plan_conflict"
MISSING_REPOSITORY = (
    "the key `repository` is missing: write where recovery points go, as in "
    "`repository: {path: /var/backups/main}`"
)
Kind = Literal["files", "sqlite", "postgres"]
KINDS: dict[Kind, tuple[str, ...]] = {  # and the keys that belong to some kinds only
    "files": ("exclude", "one_file_system", "exclude_caches", "follow_symlinks"),
    "sqlite": ("lock_timeout",),
    "postgres": (
        "password",
        "jobs",
        "lock_timeout",
        "include",
        "exclude",
        "unlogged",
        "large_objects",
        "facts",
        "bin_dir",
        "drill_server",
        "drill_isolation",
        "assertions",
        "restore_owner",
        "restore_privileges",
    ),
}
_EXAMPLE_INSTANT = datetime(2026, 1, 1, tzinfo=UTC)


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class SourcePlan(_Model):
    """One thing to protect, when, for how long, and how it is proven."""

    files: LocalPath | None = None
    sqlite: LocalPath | None = None
    postgres: DatabaseUrl | None = None
    every: Every | None = None
    cron: Cron | None = None
    at: At | None = None
    timezone: Timezone = "UTC"
    since: Day | None = None
    late_limit: Duration = timedelta(0)
    keep: KeepPlan | None = None
    repositories: Annotated[list[RepositoryName], Field(min_length=1)] | None = None
    copies: CopiesPlan = CopiesPlan()
    exclude: list[Annotated[str, Field(min_length=1)]] = []
    one_file_system: bool = False
    exclude_caches: bool = False
    follow_symlinks: bool = False
    lock_timeout: Duration = timedelta(seconds=30)
    password: Annotated[str, AfterValidator(only_reference)] | None = None
    jobs: Annotated[int, Field(strict=True, ge=1, le=64)] = 2
    include: list[Pattern] = []
    unlogged: bool = True
    large_objects: bool = True
    facts: Literal["full", "sampled", "counts"] = "full"
    bin_dir: LocalPath | None = None
    drill_server: DatabaseUrl | None = None
    drill_isolation: Literal["available", "required"] = "available"
    assertions: list[Annotated[str, Field(min_length=1)]] = []
    restore_owner: bool = True
    restore_privileges: bool = True
    allow_empty: AllowEmpty = False
    shrink: Percentage = "50%"
    expect: ExpectPlan = ExpectPlan()
    drill: Literal["window", "daily", "weekly", "never"] = "window"
    verify: Share = "all"
    owners: list[Owner] = []
    tags: dict[TagKey, TagValue] = {}
    description: str = ""
    max_runtime: Span = timedelta(hours=6)
    retries: Count = 3

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        found = list(conflicts({name: getattr(self, name) for name in self.model_fields_set}))
        if found:
            raise PydanticCustomError(CONFLICT, "{text}", {"text": "; ".join(text for _, text in found)})
        return self

    @property
    def kind(self) -> Kind:
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def location(self) -> str:
        """Where the source is; may hold references, see `Plan.path`."""
        return str(getattr(self, self.kind))

    @property
    def cadence(self) -> Cadence:
        return CADENCES[self.every] if self.every else Cadence.from_cron(self.cron or "")

    @property
    def verify_share(self) -> float:
        """The share of packs to read again per window, above 0 and at most 1."""
        return 1.0 if self.verify == "all" else float(self.verify.rstrip("%")) / 100


class Plan(_Model):
    """A whole plan. Relative paths are absolute after `load`, from the plan file's directory.

    The first of its `repositories` is the one that is written to; the others hold copies.
    """

    model_config = ConfigDict(serialize_by_alias=True)
    single: RepositoryPlan | None = Field(default=None, alias="repository")
    several: Annotated[Repositories, Field(min_length=1)] | None = Field(default=None, alias="repositories")
    sources: Annotated[dict[SourceName, SourcePlan], Field(min_length=1)]
    alerts: list[Alert] = []
    since: Day | None = None
    state: LocalPath | None = None
    _base: str = PrivateAttr(default="")
    _origin: Origin = PrivateAttr(default=Origin("", Document()))

    @model_validator(mode="after")
    def _repositories_fit(self) -> Self:
        given = {name: source.repositories for name, source in self.sources.items() if source.repositories}
        named = (
            None if self.several is None else {n: whereabouts(dict(each)) for n, each in self.several.items()}
        )
        found = list(repository_conflicts(named, given, single=self.single is not None, base=self.base))
        if found:
            raise PydanticCustomError(CONFLICT, "{text}", {"text": "; ".join(text for _, text in found)})
        return self

    def model_post_init(self, context: Any) -> None:
        self._base = (context or {}).get("base", "")
        self._origin = (context or {}).get("origin") or self._origin

    @classmethod
    def load(cls, path: str) -> Plan:
        """The plan in a YAML file. Raises PlanError with one line `file:line: message` per mistake."""
        from backup_platform.plan.loading import load_plan

        return load_plan(path)

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any], *, base: str, origin: Origin | None = None) -> Plan:
        """The plan in plain data, relative paths from `base`. Raises pydantic's ValidationError."""
        return cls.model_validate(dict(data), context={"base": os.path.abspath(base), "origin": origin})

    @property
    def repositories(self) -> dict[str, RepositoryPlan]:
        """By name; the first is written to, the others hold copies of it."""
        if self.several is not None:
            return self.several
        assert self.single is not None
        return {FIRST_REPOSITORY: self.single}

    @property
    def repository(self) -> RepositoryPlan:
        """The one that is written to."""
        return next(iter(self.repositories.values()))

    def key_of(self, repository: RepositoryPlan) -> str:
        """Where the plan speaks of one of its repositories: `repository`, or `repositories.<name>`."""
        named = (self.several or {}).items()
        return next((f"repositories.{name}" for name, each in named if each is repository), "repository")

    def twin(self, repository: RepositoryPlan) -> str | None:
        """The name of another repository in the same place, now that references lead to their values."""
        place = self._resolved_place(repository)
        others = (name for name, each in self.repositories.items() if each is not repository)
        return next((name for name in others if self._same(self.repositories[name], place)), None)

    def _same(self, repository: RepositoryPlan, place: Whereabouts) -> bool:
        try:
            return self._resolved_place(repository) == place
        except PlanError:  # its secrets are not on this host, which this repository's are
            return False

    def _resolved_place(self, repository: RepositoryPlan) -> Whereabouts:
        path, endpoint, account = whereabouts(dict(repository))
        return same_place(self.path(path), self.base), endpoint, account

    def known_repository(self, name: str | None) -> str:
        """The name of a repository; None: of the first. Raises NotFoundError."""
        known = list(self.repositories)
        if name is not None and name not in known:
            raise NotFoundError(
                f"The plan has no repository {name!r}.", hint=f"Its repositories are: {', '.join(known)}."
            )
        return known[0] if name is None else name

    def copies_of(self, source: str) -> list[str]:
        """The names of the repositories that a source's points are copied to."""
        return list((self.sources[source].repositories or [])[1:])

    @property
    def base(self) -> str:
        """The directory that relative paths and `${file:...}` start from."""
        return self._base or os.getcwd()

    def secret(self, value: str) -> str:
        """`value` with its references looked up now; never log it. Raises PlanError for a missing one, with the lines
        that it is in."""
        if missing := problem_of(value, self.base):
            reference, error = missing
            error.message = f"{self._origin.of_text(reference)}{error.message}"
            raise error
        return resolve(value, self.base)

    def place(self, *path: str | int) -> str:
        """Where a key of this plan is, as errors name it: `backup.yaml:7: sources.shop.every`."""
        return self._origin.of_key(path)

    def path(self, value: str) -> str:
        """A path of this plan, references looked up, absolute. URLs stay as they are. Raises PlanError."""
        known = self.secret(value)
        return known if is_url(known) else absolute(known, self.base)

    def references(self) -> list[str]:
        """Every `${...}` in the plan, sorted."""
        return sorted(set(references(self.model_dump())))

    def unresolved(self) -> list[PlanError]:
        """Why references of this plan cannot be looked up, one error each; empty when all can."""
        problems = []
        for reference in self.references():
            try:
                self.secret(reference)
            except PlanError as error:
                problems.append(error)
        return problems


def conflicts(source: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """What does not fit together in a source, as (key, message), whether or not its values are valid."""
    given = {key for key, value in source.items() if value is not None}
    yield from _one_of(given, tuple(KINDS), "name what to protect, as in `files: /srv/uploads`")
    yield from _one_of(given, ("every", "cron"), "say how often, as in `every: day`")
    yield from _of_other_kind(given)
    yield from _exclude_conflicts(source)
    yield from expect_conflicts(source)
    yield from _schedule_conflicts(source)
    yield from _copies_conflicts(source)


def repository_conflicts(
    named: Mapping[str, Whereabouts] | None,
    sources: Mapping[str, Sequence[object]],
    *,
    single: bool,
    base: str,
) -> Iterator[tuple[tuple[str, ...], str]]:
    """What does not fit together in the repositories of a plan, as (path, message). `named` are those of
    `repositories`, relative paths from `base`, `sources` the names that sources give."""
    if named is None and not single:
        yield (), MISSING_REPOSITORY
        return
    if named is not None and single:
        yield ("repositories",), "has both `repository` and `repositories`: give one of them"
    yield from _shared_places(named or {}, base)
    known = list(named or [FIRST_REPOSITORY])
    for source, names in sources.items():
        path = ("sources", source, "repositories")
        strange = [name for name in names if name not in known]
        if strange:
            yield path, f'there is no repository "{strange[0]}"; there are {", ".join(known)}'
        elif names and names[0] != known[0]:
            yield path, f'must start with "{known[0]}": backups go to the first repository of the plan'
        elif len(set(map(str, names))) < len(names):
            yield path, "names a repository twice"


def _shared_places(named: Mapping[str, Whereabouts], base: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """A repository that is its own copy would count as a second place of every point."""
    first: dict[Whereabouts, str] = {}
    for name, (path, endpoint, account) in named.items():
        place = same_place(path, base), endpoint, account
        if path and (other := first.setdefault(place, name)) != name:
            yield (
                ("repositories", name, "path"),
                f"the same place as that of repositories.{other}: a copy needs a place of its own",
            )


def _one_of(given: set[str], keys: tuple[str, ...], missing: str) -> Iterator[tuple[str, str]]:
    found = [key for key in keys if key in given]
    if len(found) > 1:
        yield found[1], f"has both `{found[0]}` and `{found[1]}`: give one of them"
    elif not found:
        names = [f"`{key}`" for key in keys]
        yield "", f"has neither {', '.join(names[:-1])} nor {names[-1]}: {missing}"


def _of_other_kind(given: set[str]) -> Iterator[tuple[str, str]]:
    kinds = [kind for kind in KINDS if kind in given]
    if len(kinds) != 1:
        return
    for key in sorted(given - set(KINDS[kinds[0]])):
        owners = [f"`{kind}`" for kind, keys in KINDS.items() if key in keys]
        if owners:
            yield key, f"`{key}` belongs to sources with {' or '.join(owners)}, not with `{kinds[0]}`"


def _exclude_conflicts(source: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """What `exclude` means depends on the kind of source."""
    excluded = source.get("exclude")
    if source.get("postgres") is None or not isinstance(excluded, list):
        return
    for value in excluded:
        try:
            parse_pattern(str(value))
        except ValueError as error:
            yield "exclude", f'`exclude`: "{value}" is {error}'


def _schedule_conflicts(source: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    every, cron, at = source.get("every"), source.get("cron"), source.get("at")
    cadence = _cadence(every, cron)
    if cadence is None:
        return
    moved = _try_at(at)
    if moved is not None and (problem := cadence.at_problem(moved)):
        yield "at", problem
    zone, since = _try_zone(source.get("timezone")), source.get("since")
    start = datetime(since.year, since.month, since.day, tzinfo=UTC) if isinstance(since, date) else None
    if zone is not None and (problem := cadence.zone_problem(zone, start or _EXAMPLE_INSTANT)):
        yield "timezone", problem


def _copies_conflicts(source: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """A rule that asks for more than the source's repositories could ever fulfil would be red for ever."""
    copies, named = source.get("copies"), source.get("repositories")
    wanted = copies.model_dump() if isinstance(copies, CopiesPlan) else copies
    there = len(named) if isinstance(named, list) else 1
    for key in ("number", "places"):
        value = wanted.get(key) if isinstance(wanted, dict) else None
        if isinstance(value, int) and value > there:
            yield "copies", f"{key} is {value}, and `repositories` of the source names {there}"


def _cadence(every: object, cron: object) -> Cadence | None:
    if isinstance(cron, str) and every is None:
        return Cadence.from_cron(cron) if len(cron.split()) == 5 else None
    return CADENCES.get(every) if isinstance(every, str) and cron is None else None


def _try_at(value: object) -> time | None:
    try:
        return parse_at(value) if value is not None else None
    except ValueError:
        return None


def _try_zone(value: object) -> ZoneInfo | None:
    try:
        return ZoneInfo(value) if isinstance(value, str) else None
    except (LookupError, ValueError, OSError):
        return None


def json_schema() -> dict[str, Any]:
    """The JSON schema of a plan, for editors."""
    return Plan.model_json_schema(by_alias=True)
