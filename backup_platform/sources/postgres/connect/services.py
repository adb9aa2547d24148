"""Connection services: names for parameters in a file, `pg_service.conf`.

They are looked up here instead of by libpq. The drivers and each of PostgreSQL's programs have their own copy of libpq,
and each copy looks for the system-wide file in a different place.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

_SYSTEM = "/etc/postgresql-common"  # Debian's; $PGSYSCONFDIR says another


def service_parameters(name: str) -> dict[str, str] | None:
    """What the user's file says of a service, or else the machine's; None for one that neither has."""
    for path in _files():
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                found = _section(file, name)
        except OSError:
            continue
        if found is not None:
            return found
    return None


def _files() -> Iterator[str]:
    yield os.environ.get("PGSERVICEFILE") or os.path.expanduser("~/.pg_service.conf")
    yield os.path.join(os.environ.get("PGSYSCONFDIR") or _SYSTEM, "pg_service.conf")


def _section(lines: Iterator[str], name: str) -> dict[str, str] | None:
    """The first of that name, as libpq reads it."""
    found: dict[str, str] | None = None
    for line in map(str.strip, lines):
        if line.startswith("["):
            if found is not None:
                break
            found = {} if line == f"[{name}]" else None
        elif found is not None and "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key.strip(), value.strip())
    return found
