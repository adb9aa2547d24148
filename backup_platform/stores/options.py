"""How a store is reached and used: what the plan says of it, with its secrets looked up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

# Called when credentials are needed, and again when they expire: obstore's S3CredentialProvider.
CredentialProvider = Callable[[], Mapping[str, Any]]

Kind = Literal["packs", "rest"]  # of objects


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """What is left out, the store's own defaults and the credentials of the environment give.

    `credentials` are by obstore's names; `provider` takes their place where somebody else keeps them. `cache` is a
    directory for copies of small objects, `rate` a limit in bytes per second, 0 for none. `now` dates retention.
    `plan_key` is where the plan speaks of this store, `repository` the name of what is in it.
    """

    endpoint: str = ""
    region: str = ""
    path_style: bool | None = None
    allow_http: bool = False
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    provider: CredentialProvider | None = field(default=None, repr=False)
    single_writer: bool = False
    write_only: bool = False
    rate: int = 0
    storage_class: Mapping[Kind, str] = field(default_factory=dict)
    lock: timedelta | None = None
    lock_mode: str = "governance"
    cache: str = ""
    now: Callable[[], datetime] = _now
    plan_key: str = "repository"
    repository: str = ""
