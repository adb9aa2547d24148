"""The part of a plan that says how a repository's store is reached and used."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    PlainSerializer,
    WithJsonSchema,
)

from backup_platform.kinds.config import STRICT
from backup_platform.plan.values import Span, only_reference, without_secret

_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*([kMG]?)B/s")
_SCALE = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}
# What is stored in them cannot be read within seconds: packs are read back before a commit, and by every drill.
_COLD = {"GLACIER", "DEEP_ARCHIVE", "ARCHIVE"}


def parse_rate(value: object) -> int:
    """`20MB/s` as bytes per second; `kB`, `MB` and `GB` are powers of ten."""
    found = _RATE.fullmatch(str(value))
    if found and (rate := round(float(found[1]) * _SCALE[found[2]])):
        return rate
    raise ValueError(f'"{value}" is not a bandwidth; write one like "500kB/s" or "20MB/s"')


def _endpoint(value: str) -> str:
    if not value.startswith(("https://", "http://", "${")):
        raise ValueError("not the URL of a server; write one like https://s3.example.org")
    return without_secret(value)


def _storage_class(value: str) -> str:
    if value.upper() in _COLD:
        raise ValueError(
            f'"{value}" cannot be read immediately, but every new pack is read back; use another class'
        )
    return value


Rate = Annotated[
    int,
    BeforeValidator(parse_rate),
    PlainSerializer(lambda rate: f"{rate}B/s"),
    WithJsonSchema({"type": "string", "pattern": f"^{_RATE.pattern}$", "examples": ["20MB/s"]}),
]
CredentialName = Literal[
    "access_key_id",
    "secret_access_key",
    "session_token",
    "service_account_key",
    "account_name",
    "account_key",
    "sas_key",
    "client_id",
    "client_secret",
    "tenant_id",
]


class StoreAccess(BaseModel):
    """How a store is reached (docs/stores.md). Credentials that are left out come from the environment."""

    model_config = STRICT
    endpoint: Annotated[str, AfterValidator(_endpoint)] | None = None
    region: Annotated[str, Field(min_length=1)] | None = None
    path_style: bool | None = None
    allow_http: bool = False
    credentials: dict[CredentialName, Annotated[str, AfterValidator(only_reference)]] = {}


class StoreConfig(StoreAccess):
    """How a store is reached and used."""

    single_writer: bool = False
    write_only: bool = False
    bandwidth: Rate | None = None
    storage_class: dict[Literal["packs", "rest"], Annotated[str, AfterValidator(_storage_class)]] = {}
    lock: Span | None = None
    lock_mode: Literal["governance", "compliance"] = "governance"
