"""What a recovery point holds beside its tables, and what a restore must know to rebuild the database.

The streams of a recovery point:

    catalogue.json                              the tables and where they are stored (`domain.tables`), with the
                                                partitioned tables above them
    database.json                               `CapturedDatabase`, below
    schema.dump                                 pg_dump --schema-only --format=custom, in the same snapshot
    globals.sql                                 pg_dumpall --globals-only: roles and tablespaces
    tables/<schema>/<table>/<part>.parquet      names percent-encoded, parts numbered from 00000
    large_objects/<part>.parquet                columns oid (int64), offset (int64), data (binary), in that order

`globals.sql` and `large_objects` are absent where there is nothing, or no privilege to read it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from backup_platform.domain.tables import label_of

if TYPE_CHECKING:
    from pydantic import TypeAdapter

DATABASE_PATH = b"database.json"
SCHEMA_PATH = b"schema.dump"
GLOBALS_PATH = b"globals.sql"
LARGE_OBJECTS = b"large_objects"
DOCUMENT_VERSION = 1


@dataclass(frozen=True, slots=True)
class QualifiedName:
    """A relation."""

    schema: str
    name: str

    @property
    def label(self) -> str:
        return label_of(self.schema, self.name)


@dataclass(frozen=True, slots=True)
class SequenceValue:
    """What `setval` takes."""

    sequence: QualifiedName
    last_value: int
    is_called: bool


@dataclass(frozen=True, slots=True)
class LargeObject:
    """Its owner, grants as (grantee, privileges, grantable) where PUBLIC is "", and comment. Its data is a stream.

    `acl` is None for the default one, which is not the same as an empty one.
    """

    oid: int
    owner: str
    acl: tuple[tuple[str, str, bool], ...] | None
    comment: str | None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something of the source that is not stored, and why. `kind` as in `foreign table`."""

    kind: str
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Locale:
    """How the database encodes and sorts text: what CREATE DATABASE takes. `provider` is pg_database's letter."""

    encoding: str
    collate: str
    ctype: str
    provider: str = "c"
    locale: str | None = None  # of the providers icu and builtin
    icu_rules: str | None = None
    collation_version: str | None = None


@dataclass(frozen=True, slots=True)
class CapturedDatabase:
    """One captured database.

    `server_version` and `dump_version` are numbers like 150018, as server_version_num. `roles` are all that the
    schema names as owners or grantees. `refresh` are the populated materialised views, each after those that it
    reads. `load_through` names, for stored leaf partitions that must not be loaded directly, the ancestor that
    routes their rows; keys are labels of tables.
    """

    version: int
    name: str
    owner: str
    server_version: int
    dump_version: int
    locale: Locale
    roles: tuple[str, ...] = ()
    tablespaces: tuple[str, ...] = ()
    extensions: tuple[tuple[str, str], ...] = ()  # name, version
    sequences: tuple[SequenceValue, ...] = ()
    refresh: tuple[QualifiedName, ...] = ()
    load_through: tuple[tuple[str, QualifiedName], ...] = ()
    subscriptions: tuple[str, ...] = ()
    large_objects: tuple[LargeObject, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


def encode(database: CapturedDatabase) -> bytes:
    return _adapter().dump_json(database, indent=1)


def decode(document: bytes) -> CapturedDatabase:
    """Raises ValueError if it is not a document of this version."""
    database = _adapter().validate_json(document)
    if database.version != DOCUMENT_VERSION:
        raise ValueError(f"database.json has version {database.version}, which is not known")
    return database


@cache
def _adapter() -> TypeAdapter[CapturedDatabase]:
    from pydantic import TypeAdapter

    return TypeAdapter(CapturedDatabase)
