"""What a server has that no source protects: its databases, and what the source of one leaves out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urlsplit, urlunsplit

from backup_platform.domain.coverage import Neighbour, Surroundings
from backup_platform.domain.model import Json
from backup_platform.errors import BackupError, SourceError
from backup_platform.kinds.kind import PlannedSource
from backup_platform.sources.postgres.catalog import relations
from backup_platform.sources.postgres.catalog.large_objects import excluded_large_objects
from backup_platform.sources.postgres.connect.connections import connect, describe_server, parse
from backup_platform.sources.postgres.failures import postgres_errors
from backup_platform.sources.postgres.options import PostgresOptions

if TYPE_CHECKING:
    from backup_platform.sources.postgres.connect.connections import Connection

MAINTENANCE = "postgres"  # made with the cluster, and on most servers empty for ever

# -2: a DROP DATABASE was interrupted, and nothing of it can be read any more.
_DATABASES = """
SELECT datname::text, datallowconn FROM pg_database
WHERE datname NOT IN ('template0', 'template1') AND datconnlimit <> -2 ORDER BY 1
"""
_IDENTITY = """
SELECT c.system_identifier, pg_postmaster_start_time(), pg_is_in_recovery(),
    (SELECT timeline_id FROM pg_control_checkpoint()), current_database()::text
FROM pg_control_system() c
"""
_HOLDS_SOMETHING = """
SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.oid >= 16384 AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema')
    OR EXISTS (SELECT FROM pg_largeobject_metadata)
"""


@dataclass(frozen=True, slots=True)
class Place:
    """A server to look at. `url` may hold a password; `written` are the keys of the plan that lead there."""

    url: str = field(repr=False)
    written: str
    password: str | None

    def settings(self, database: str) -> dict[str, Json]:
        """The keys of a source for another database of the server."""
        url: dict[str, Json] = {"postgres": other_database(self.written, database)}
        return url | ({"password": self.password} if self.password else {})


class SourcePlace(NamedTuple):
    """A source of the plan; `url` raises PlanError where its secrets are not on this host."""

    source: PlannedSource
    url: str | None
    why: str = ""


class _ServerIdentity(NamedTuple):
    """What tells one running server from another, whatever names lead to it."""

    system: int
    started: datetime
    standby: bool
    timeline: int
    database: str

    def is_same(self, other: _ServerIdentity) -> bool:
        """Also of a standby and its primary. A cluster that was copied has the same number, and is another server."""
        if self.system != other.system:
            return False
        together = (self.standby or other.standby) and self.timeline == other.timeline
        return self.started == other.started or together


def survey(place: Place, sources: Sequence[SourcePlace]) -> Surroundings:
    """The databases of a server. Raises SourceError."""
    with _asking(place.url) as connection:
        here = _identity(connection)
        found = [(str(name), bool(allowed)) for name, allowed in connection.execute(_DATABASES)]
    protecting, unclear = _protecting(here, sources)
    neighbours = [
        _neighbour(place, name, tuple(protecting.get(name, ())), unclear)
        for name, allowed in found
        if name in protecting or not _is_empty_maintenance(place, name, allowed)
    ]
    return Surroundings(describe_server(place.url), neighbours)


def _neighbour(place: Place, name: str, sources: tuple[str, ...], unclear: Sequence[str]) -> Neighbour:
    if sources:
        return Neighbour(name, "database", sources)
    return Neighbour(name, "database", settings=place.settings(name), note="; ".join(unclear))


def _protecting(
    here: _ServerIdentity, sources: Sequence[SourcePlace]
) -> tuple[dict[str, list[str]], list[str]]:
    """The sources of each database of a server, and which of them could not be asked where they are."""
    protecting: dict[str, list[str]] = {}
    unclear, ask = [], _Asked()
    for source in sources:
        try:
            there = ask.identity_of(source)
        except BackupError as error:
            unclear.append(f"the source {source.source.name} cannot be asked for its server: {error.message}")
            continue
        if there.is_same(here):
            protecting.setdefault(there.database, []).append(source.source.name)
    return protecting, unclear


@dataclass
class _Asked:
    """Asks sources for their servers. One that does not answer is asked once: each time it takes 15 s to know that."""

    away: dict[tuple[str | None, ...], BackupError] = field(default_factory=dict)

    def identity_of(self, source: SourcePlace) -> _ServerIdentity:
        """Raises SourceError."""
        if source.url is None:
            raise SourceError(source.why)
        words = parse(source.url)
        server = tuple(words.get(name) for name in ("service", "host", "hostaddr", "port"))
        if server in self.away:
            raise self.away[server]
        try:
            with _asking(source.url) as connection:
                return _identity(connection)
        except BackupError as error:
            if error.retryable:
                self.away[server] = error
            raise


@contextmanager
def _asking(url: str, database: str | None = None) -> Iterator[Connection]:
    """A connection whose queries raise SourceError, too."""
    with postgres_errors(describe_server(url)), _connection(url, database) as connection:
        yield connection


def _connection(url: str, database: str | None) -> Connection:
    return connect(url) if database is None else connect(url, dbname=database)


def _identity(connection: Connection) -> _ServerIdentity:
    row = connection.execute(_IDENTITY).fetchone()
    assert row is not None
    return _ServerIdentity(*row)


def _is_empty_maintenance(place: Place, name: str, allowed: bool) -> bool:
    """Whether it is the database that each cluster has, with nothing in it. One that cannot be asked may hold
    something."""
    if name != MAINTENANCE or not allowed:
        return False
    try:
        with _asking(place.url, name) as connection:
            row = connection.execute(_HOLDS_SOMETHING).fetchone()
    except SourceError:
        return False
    return row is not None and not row[0]


def other_database(url: str, database: str) -> str:
    """The URL of another database of the same server. Where a secret has all of it, one for people to complete."""
    parts = urlsplit(url)
    if not parts.scheme.startswith("postgres"):
        return f"postgresql://USER@HOST/{quote(database, safe='')}"
    query = "&".join(each for each in parts.query.split("&") if each and not each.startswith("dbname="))
    netloc = parts.netloc
    made = urlunsplit((parts.scheme, netloc, "/" + quote(database, safe=""), query, ""))
    return made if netloc else made.replace(f"{parts.scheme}:/", f"{parts.scheme}:///", 1)


def left_out(name: str, options: PostgresOptions) -> Iterator[Neighbour]:
    """What the source of a database stores and leaves out now. Raises SourceError."""
    with _asking(options.url) as connection:
        standby = bool(connection.execute("SELECT pg_is_in_recovery()").fetchone()[0])  # type: ignore[index]
        selected = relations.select(relations.find(connection), options, standby=standby)
        objects = () if options.large_objects else excluded_large_objects(connection)
    for each in selected.stored:
        yield Neighbour(each.label, "table", (name,))
    made_by_extensions = {each.label for each in selected.found if each.extension and each.condition is None}
    for left in (*selected.left_out, *objects):
        if left.name not in made_by_extensions:
            yield Neighbour(left.name, left.kind, note=left.reason)
