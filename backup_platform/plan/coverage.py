"""The part of a plan that says where to look for what is in no source, and what is left out on purpose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    SerializeAsAny,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    create_model,
)

from backup_platform.kinds import registry
from backup_platform.kinds.config import STRICT
from backup_platform.kinds.kind import AnyKind
from backup_platform.plan import examples
from backup_platform.plan.store import StoreAccess
from backup_platform.plan.values import Location, PlaceInCoverage, SourceName, is_url

BESIDE, INSIDE, ASSETS, STORE = "beside", "inside", "assets", "store"


def _reason(value: str) -> str:
    if not value.strip():
        raise ValueError("is empty: say why it needs no backup")
    return value.strip()


Reason = Annotated[str, AfterValidator(_reason)]
Exceptions = dict[Annotated[str, Field(min_length=1)], Reason]


class CoveragePlace(BaseModel):
    """Somewhere to look. `except` has what is left out on purpose, by name or pattern, each with the reason.
    `backed_up_by` has what is in a source that does not show it, as a dump is of another program's directory."""

    model_config = {**STRICT, "serialize_by_alias": True}
    kind: ClassVar[str] = ""
    exceptions: Exceptions = Field(default={}, alias="except")
    backed_up_by: dict[Annotated[str, Field(min_length=1)], SourceName] = {}


class BesidePlace(CoveragePlace):
    """What is beside a source: the databases of its server, the directories of its directory."""

    beside: SourceName


class InsidePlace(CoveragePlace):
    """What a source itself does not store."""

    inside: SourceName


class AssetsPlace(CoveragePlace):
    """The assets of the Dagster code location that loads the plan."""

    assets: Literal[True]


def _bucket(value: str) -> str:
    if not is_url(value) or value.lower().startswith("file:"):
        raise ValueError("is not the URL of a bucket; write one like s3://bucket")
    return value


class BucketPlace(CoveragePlace, StoreAccess):
    """The prefixes of a bucket, or of a part of it."""

    store: Annotated[Location, AfterValidator(_bucket)]


_OWN: dict[str, type[CoveragePlace]] = {
    BESIDE: BesidePlace,
    INSIDE: InsidePlace,
    ASSETS: AssetsPlace,
    STORE: BucketPlace,
}


def place_model(name: str) -> type[CoveragePlace]:
    """The model of places that a kind looks at."""
    return _assembled(registry.known(name))


@cache
def _assembled(kind: AnyKind) -> type[CoveragePlace]:
    assert kind.survey is not None
    title = f"{kind.name.capitalize()}Place"
    made = create_model(
        title, __base__=(CoveragePlace, kind.survey.config), __doc__=f"Where to look: {kind.title}"
    )
    made.kind = kind.name
    return cast("type[CoveragePlace]", made)


def place_models() -> tuple[type[CoveragePlace], ...]:
    """All, for whoever describes plans."""
    kinds = [place_model(name) for name, kind in registry.every().items() if kind.survey is not None]
    return (*_OWN.values(), *kinds)


def model_for(place: Mapping[str, object]) -> type[CoveragePlace]:
    """The model of what a place names first; that of all places where it names nothing that is known."""
    for key, model in _OWN.items():
        if key in place:
            return model
    named = [name for name in registry.among(place) if _looks(name)]
    return place_model(named[0]) if named else CoveragePlace


def known_keys(place: object) -> list[str]:
    """The keys that a place may have, for advice about one that it may not."""
    model = model_for(place) if isinstance(place, Mapping) else CoveragePlace
    own = [each.alias or name for name, each in model.model_fields.items()]
    return own if model is not CoveragePlace else [*_OWN, *_looking(), *own]


def _of_what_it_names(
    value: object, handler: ValidatorFunctionWrapHandler, info: ValidationInfo
) -> CoveragePlace:
    if not isinstance(value, Mapping):
        return cast("CoveragePlace", handler(value))
    return model_for(value).model_validate(value, context=info.context)


AnyPlace = Annotated[SerializeAsAny[CoveragePlace], WrapValidator(_of_what_it_names)]
Places = dict[PlaceInCoverage, AnyPlace]


def coverage_conflicts(
    places: Mapping[str, object], sources: Mapping[str, str]
) -> Iterator[tuple[tuple[str, ...], str]]:
    """What does not fit in the places of a plan, as (path, message). `sources` are its sources with their kinds."""
    for name, place in places.items():
        given: Mapping[str, Any] = (
            place.model_dump(exclude_unset=True) if isinstance(place, CoveragePlace) else place  # type: ignore[assignment]
        )
        if isinstance(given, Mapping):
            for key, message in _conflicts(given, sources):
                yield ("coverage", name, *([key] if key else [])), message
            named = given.get("backed_up_by")
            for pattern, source in named.items() if isinstance(named, Mapping) else ():
                if source not in sources:
                    yield ("coverage", name, "backed_up_by", pattern), f'there is no source "{source}"'


def _conflicts(place: Mapping[str, object], sources: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    keys = [key for key in (*_OWN, *registry.among(place)) if key in place]
    if len(keys) != 1:
        yield keys[1] if keys else "", _one_place(keys)
    elif keys[0] in (BESIDE, INSIDE):
        yield from _of_source(keys[0], place[keys[0]], sources)
    elif keys[0] not in _OWN and not _looks(keys[0]):
        yield keys[0], f"nothing beside sources with `{keys[0]}` can be found: {_who(BESIDE)} can"


def _one_place(keys: list[str]) -> str:
    if keys:
        return f"has both `{keys[0]}` and `{keys[1]}`: give one of them"
    known = [f"`{key}`" for key in (*_OWN, *_looking())]
    return f"has neither {', '.join(known[:-1])} nor {known[-1]}: {examples.WHERE}"


def _of_source(key: str, name: object, sources: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    kind = registry.described(sources[str(name)]) if str(name) in sources else None
    if kind is None:
        yield key, f'there is no source "{name}"'
    elif (kind.survey if key == BESIDE else kind.left_out) is None:
        yield key, f"`{key}` is for {_who(key)}; {name} is one with `{kind.name}`"


def _who(key: str) -> str:
    able = [
        name for name, kind in registry.every().items() if (kind.survey if key == BESIDE else kind.left_out)
    ]
    return "sources with " + " or ".join(f"`{name}`" for name in able)


def _looking() -> list[str]:
    return [name for name, kind in registry.every().items() if kind.survey is not None]


def _looks(name: str) -> bool:
    kind = registry.find(name)
    return kind is not None and kind.survey is not None
