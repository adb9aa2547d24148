"""A database of everything that PostgreSQL can hold (the scripts in `fidelity/`), and dumps of it to compare."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from backup_platform_tests.sources.postgres.normalise import normalise, without_own_options
from backup_platform_tests.sources.postgres.servers import Server, execute, fetch

SCRIPTS = Path(__file__).parent / "fidelity"


@dataclass(frozen=True)
class Features:
    """What a server was built with."""

    xml: bool
    icu: bool
    lz4: bool

    def __and__(self, other: Features) -> Features:
        return Features(self.xml and other.xml, self.icu and other.icu, self.lz4 and other.lz4)


def features(server: Server) -> Features:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        icu = "SELECT count(*) > 10 FROM pg_collation WHERE collprovider = 'i'"
        lz4 = """SELECT count(*) > 0 FROM pg_settings
            WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)"""
        found = [row[0] for query in (icu, lz4) for row in connection.execute(query).fetchall()]
        try:
            connection.execute("SELECT '<a/>'::xml")
        except psycopg.errors.FeatureNotSupported:
            return Features(False, *found)
    return Features(True, *found)


@contextmanager
def fidelity_database(server: Server, of: Features | None = None) -> Iterator[str]:
    """URL of a new database with everything that a server built with `of` understands."""
    of = of or features(server)
    variables = [f"{name}={str(getattr(of, name)).lower()}" for name in ("xml", "icu", "lz4")]
    with new_database(server) as url:
        psql(server, url, *sorted(SCRIPTS.glob("*.sql")), variables=variables)
        yield url


def roles_and_tablespaces(server: Server, url: str) -> None:
    """What the fidelity database needs of its server, which every database on it shares."""
    psql(server, url, SCRIPTS / "00_start.sql", variables=[])


@contextmanager
def new_database(server: Server, options: str = "") -> Iterator[str]:
    """As `Server.database`, for contents that keep a database from being dropped."""
    with server.database(options) as url:
        try:
            yield url
        finally:
            drop_subscriptions(url)


def drop_subscriptions(url: str) -> None:
    here = "(SELECT oid FROM pg_database WHERE datname = current_database())"
    own = f"SELECT quote_ident(subname) FROM pg_subscription WHERE subdbid = {here}"
    for (name,) in fetch(url, own):
        execute(
            url,
            f"ALTER SUBSCRIPTION {name} DISABLE",
            f"ALTER SUBSCRIPTION {name} SET (slot_name = NONE)",
            f"DROP SUBSCRIPTION {name}",
        )


def psql(server: Server, url: str, *scripts: Path, variables: list[str]) -> None:
    """Run scripts in one session; the first error fails."""
    command = [os.path.join(server.bin_dir, "psql"), "--no-psqlrc", "--quiet", "--dbname", url]
    command += [f"--variable={variable}" for variable in ("ON_ERROR_STOP=1", *variables)]
    command += [f"--file={script}" for script in scripts]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def dump(tools: Server, url: str, to: Path, *options: str) -> list[str]:
    """The normalised lines of a plain dump of the database at `url`, made by the tools of `tools`."""
    write_dump(tools, url, to, *options)
    return normalise(to)


def write_dump(tools: Server, url: str, to: Path, *options: str) -> None:
    command = [os.path.join(tools.bin_dir, "pg_dump"), "--dbname", url, "--file", str(to), *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    script = to.read_bytes()
    if b"pg_attver" in script:
        readable = without_own_options(script.decode("utf-8", "surrogateescape"))
        to.write_bytes(readable.encode("utf-8", "surrogateescape"))
