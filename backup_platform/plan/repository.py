"""The parts of a plan that say where recovery points go, how long they stay, and how the place is looked after."""

from __future__ import annotations

from datetime import time, timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, Field, model_validator

from backup_platform.domain.fingerprint import parse_fingerprint
from backup_platform.kinds.config import STRICT
from backup_platform.plan.store import StoreConfig
from backup_platform.plan.values import (
    At,
    Count,
    Duration,
    KeyFile,
    Location,
    Percentage,
    Recipients,
    RepositoryName,
    Span,
    name_of_place,
)

FIRST_REPOSITORY = "main"  # the name of a plan's only repository
Positive = Annotated[int, Field(strict=True, ge=1)]


class _Model(BaseModel):
    model_config = STRICT


class KeepConfig(_Model):
    """How many recovery points to keep of each kind; `within` keeps all that are younger than the newest by less.

    Whatever the rules say, the newest `min_points` and the newest `min_proven` of the proven ones stay.
    """

    hourly: Count = 0
    daily: Count = 0
    weekly: Count = 0
    monthly: Count = 0
    yearly: Count = 0
    last: Count = 0
    within: Span | None = None
    min_points: Positive = 1
    min_proven: Positive = 1

    @model_validator(mode="after")
    def _keeps_something(self) -> Self:
        rules = [name for name in type(self).model_fields if not name.startswith("min_")]
        if not any(getattr(self, name) for name in rules):
            raise ValueError("keeps nothing: give at least one of " + ", ".join(rules))
        return self


class PruneConfig(_Model):
    """When points are forgotten and what nobody needs is deleted. `grace` lies between marking and deleting, by the
    store's clock; packs are rewritten when unneeded bytes exceed `max_waste` of a repository."""

    every: Literal["day", "week"] = "day"
    at: At = time(4)
    grace: Duration = timedelta(days=1)
    max_waste: Percentage = "10%"


class VerifyConfig(_Model):
    """Within `cycle` every stored byte is read again, a part each day at `at`."""

    cycle: Span = timedelta(days=30)
    at: At = time(5)


class CopiesConfig(_Model):
    """The 3-2-1 rule of a source: in how many repositories and places each point is, and how soon."""

    number: Positive | None = None
    places: Positive = 1
    within: Span = timedelta(days=1)


class RepositoryConfig(StoreConfig):
    """Where recovery points go: a directory or the URL of an object store; `compression` is zstd's level.

    `key_file` and `identity_file` are of an encrypted one; a host may lack either file. `fingerprint` says which
    repository is meant: another one is refused. `recipients` are whom its contents are encrypted to, and nobody else.
    `keep` takes the place of what the sources say, for this repository. Without `prune` nothing is ever deleted;
    without `verify` each point is read again only when it is written and when someone asks.
    """

    path: Location
    compression: Annotated[int, Field(strict=True, ge=1, le=19)] = 3
    key_file: KeyFile | None = None
    identity_file: KeyFile | None = None
    fingerprint: Annotated[str, AfterValidator(parse_fingerprint)] | None = None
    recipients: Recipients | None = None
    place: Annotated[str, AfterValidator(name_of_place)] | None = None
    keep: KeepConfig | None = None
    prune: PruneConfig | None = None
    verify: VerifyConfig | None = None


Repositories = dict[RepositoryName, RepositoryConfig]
