"""The part of a plan that describes a source: keys that all sources have, and those of its kind.

The model of a source is assembled from `SourceConfig` and the `KindConfig` of the kind that its keys name. `conflicts`
tells what does not fit together in a source, in words that need every kind: those are loaded only then.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Annotated, ClassVar, Literal, Self, cast
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    Field,
    SerializeAsAny,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    create_model,
    model_validator,
)
from pydantic_core import PydanticCustomError

from backup_platform.domain.windows.cadence import CADENCES, Cadence
from backup_platform.errors import PlanError
from backup_platform.kinds import registry
from backup_platform.kinds.config import STRICT
from backup_platform.kinds.kind import AnyKind
from backup_platform.plan import examples
from backup_platform.plan.expect import AllowEmpty, ExpectConfig, expect_conflicts
from backup_platform.plan.repository import CopiesConfig, KeepConfig
from backup_platform.plan.values import (
    At,
    Count,
    Cron,
    Day,
    Duration,
    Every,
    Owner,
    Percentage,
    RepositoryName,
    Share,
    Span,
    TagKey,
    TagValue,
    Timezone,
    parse_at,
    parse_duration,
    show_duration,
)

CONFLICT = "plan_conflict"
_EXAMPLE_INSTANT = datetime(2026, 1, 1, tzinfo=UTC)


class SourceConfig(BaseModel):
    """One thing to protect, when, for how long, and how it is proven: the keys that sources of every kind have."""

    model_config = STRICT
    kind: ClassVar[str] = ""
    every: Every | None = None
    cron: Cron | None = None
    at: At | None = None
    timezone: Timezone = "UTC"
    since: Day | None = None
    late_limit: Duration = timedelta(0)
    rpo: Span | None = None
    rto: Span | None = None
    keep: KeepConfig | None = None
    repositories: Annotated[list[RepositoryName], Field(min_length=1)] | None = None
    copies: CopiesConfig = CopiesConfig()
    allow_empty: AllowEmpty = False
    shrink: Percentage = "50%"
    expect: ExpectConfig = ExpectConfig()
    drill: Literal["window", "daily", "weekly", "never"] = "window"
    verify: Share = "all"
    owners: list[Owner] = []
    tags: dict[TagKey, TagValue] = {}
    description: str = ""
    max_runtime: Span = timedelta(hours=6)
    retries: Count = 3

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        found = list(_rule_conflicts({name: getattr(self, name) for name in self.model_fields_set}))
        if found:
            raise _conflict(found)
        return self

    @property
    def source_kind(self) -> AnyKind:
        return registry.known(self.kind)

    @property
    def location(self) -> str:
        """What is protected, for people; may hold references, see `Plan.path`."""
        value = getattr(self, self.kind)
        return shlex.join(value) if isinstance(value, list) else str(value)

    @property
    def cadence(self) -> Cadence:
        return CADENCES[self.every] if self.every else Cadence.from_cron(self.cron or "")

    @property
    def verify_share(self) -> float:
        """The share of packs to read again per window, above 0 and at most 1."""
        return 1.0 if self.verify == "all" else float(self.verify.rstrip("%")) / 100


def source_model(name: str) -> type[SourceConfig]:
    """The model of sources of a kind. Raises PlanError for a kind that takes a key which all sources have."""
    return _assembled(registry.known(name))


@cache
def _assembled(kind: AnyKind) -> type[SourceConfig]:
    if taken := sorted(set(kind.config.model_fields) & set(SourceConfig.model_fields)):
        raise PlanError(
            f"The kind of source {kind.name!r} cannot have the key `{taken[0]}`: sources of every kind have it.",
            hint="Its authors have to correct this: see docs/kinds.md.",
        )
    title = f"{kind.name.capitalize()}Source"
    made = create_model(title, __base__=(SourceConfig, kind.config), __doc__=kind.title)
    made.kind = kind.name
    return cast("type[SourceConfig]", made)


def _of_its_kind(value: object, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> SourceConfig:
    """A source as the model of its kind. Keys of other kinds get an error message of their own."""
    if not isinstance(value, Mapping):
        return cast("SourceConfig", handler(value))
    model = model_for(value)
    unknown = value.keys() - set(model.model_fields)
    strange = unknown & _keys_of_kinds() if unknown else set()
    own = {key: item for key, item in value.items() if key not in strange}
    source = model.model_validate(own, context=info.context)
    if found := list(_kind_conflicts(value)):
        raise _conflict(found)
    return source


AnySource = Annotated[SerializeAsAny[SourceConfig], WrapValidator(_of_its_kind)]


def _conflict(found: list[tuple[str, str]]) -> PydanticCustomError:
    return PydanticCustomError(CONFLICT, "{text}", {"text": "; ".join(text for _, text in found)})


def model_for(source: Mapping[str, object]) -> type[SourceConfig]:
    """The model of the kind that a source names first; that of all kinds where it names none."""
    named = registry.among(key for key, value in source.items() if value is not None)
    return source_model(named[0]) if named else SourceConfig


def _keys_of_kinds() -> set[str]:
    return {key for kind in registry.every().values() for key in kind.config.model_fields}


def known_keys(source: object) -> list[str]:
    """The keys that a source may have, for advice about one that it may not."""
    named = registry.among(source) if isinstance(source, Mapping) else []
    of_kinds = (
        source_model(named[0]).model_fields if named else [*registry.every(), *sorted(_keys_of_kinds())]
    )
    return list(dict.fromkeys([*of_kinds, *SourceConfig.model_fields]))


def conflicts(source: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """What does not fit together in a source, as (key, message), whether or not its values are valid."""
    yield from _kind_conflicts(source)
    yield from _rule_conflicts(source)


def _kind_conflicts(source: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """What does not fit its kind. The other kinds are needed only where a key is not of the one that is named."""
    named = registry.among(key for key, value in source.items() if value is not None)
    if len(named) != 1 or source.keys() - set(source_model(named[0]).model_fields):
        given = {key for key, value in source.items() if value is not None}
        kinds = registry.every()
        yield from _one_of(given, tuple(kinds), examples.WHAT)
        yield from _of_other_kind(source, kinds)
    if len(named) == 1 and (kind := registry.find(named[0])):
        yield from expect_conflicts(source, kind)


def _rule_conflicts(source: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    given = {key for key, value in source.items() if value is not None}
    yield from _one_of(given, ("every", "cron"), "say how often, as in `every: day`")
    yield from _schedule_conflicts(source)
    yield from _objective_conflicts(source)
    yield from _copies_conflicts(source)


def _one_of(given: set[str], keys: tuple[str, ...], missing: str) -> Iterator[tuple[str, str]]:
    found = [key for key in keys if key in given]
    if len(found) > 1:
        yield found[1], f"has both `{found[0]}` and `{found[1]}`: give one of them"
    elif not found:
        names = [f"`{key}`" for key in keys]
        yield "", f"has neither {', '.join(names[:-1])} nor {names[-1]}: {missing}"


def _of_other_kind(source: Mapping[str, object], kinds: Mapping[str, AnyKind]) -> Iterator[tuple[str, str]]:
    named = [name for name in kinds if source.get(name) is not None]
    if len(named) != 1:
        return
    for key in sorted(source.keys() - set(source_model(named[0]).model_fields) - kinds.keys()):
        owners = [f"`{name}`" for name, kind in kinds.items() if key in kind.config.model_fields]
        if owners:
            yield key, f"`{key}` belongs to sources with {' or '.join(owners)}, not with `{named[0]}`"


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


def _objective_conflicts(source: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    cadence, rpo = _cadence(source.get("every"), source.get("cron")), _try_duration(source.get("rpo"))
    if cadence is not None and rpo and (problem := cadence.objective_problem(rpo)):
        yield "rpo", f"`rpo: {show_duration(rpo)}` cannot be kept: {problem}"


def default_objective_conflicts(
    rpo: object, sources: Mapping[str, object]
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Sources that cannot keep the plan's `rpo` and have none of their own, as (path, message)."""
    wanted = _try_duration(rpo)
    for name, source in sources.items() if wanted else ():
        if not isinstance(source, Mapping) or source.get("rpo") is not None:
            continue
        cadence = _cadence(source.get("every"), source.get("cron"))
        if wanted and cadence is not None and (problem := cadence.objective_problem(wanted)):
            text = f"the plan's `rpo: {show_duration(wanted)}` cannot be kept: {problem}; or give this source an `rpo`"
            yield ("sources", name), text


def _copies_conflicts(source: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Refuse a rule that requires more than the source's repositories can ever fulfil: its check would always be
    red."""
    copies, named = source.get("copies"), source.get("repositories")
    wanted = copies.model_dump() if isinstance(copies, CopiesConfig) else copies
    there = len(named) if isinstance(named, list) else 1
    for key in ("number", "places"):
        value = wanted.get(key) if isinstance(wanted, dict) else None
        if isinstance(value, int) and value > there:
            yield "copies", f"{key} is {value}, and `repositories` of the source names {there}"


def _cadence(every: object, cron: object) -> Cadence | None:
    if isinstance(cron, str) and every is None:
        return Cadence.from_cron(cron) if len(cron.split()) == 5 else None
    return CADENCES.get(every) if isinstance(every, str) and cron is None else None


def _try_duration(value: object) -> timedelta | None:
    try:
        return parse_duration(value) if value is not None else None
    except ValueError:
        return None


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
