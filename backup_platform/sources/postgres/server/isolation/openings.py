"""What the layers around a drill leave open, in words, and whether the plan accepts it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from backup_platform.domain.model import Json
from backup_platform.domain.words import listing
from backup_platform.errors import DrillExposedError
from backup_platform.sources.postgres.server.isolation.starting import LANDLOCK, NAMESPACES, SECCOMP

NONE = "none"
_HINT = (
    "Allow it user namespaces, or Landlock (Linux 5.13) and seccomp; docs/postgres.md tells how. "
    "Or write `drill_isolation: available`: then the drill runs, and its proof says what was open."
)


def left_open(layers: Sequence[str]) -> Iterator[str]:
    if NAMESPACES not in layers and LANDLOCK not in layers:
        yield "files that its user can read, including the environment of its processes"
    if NAMESPACES not in layers and SECCOMP not in layers:
        yield "the network"


def told(layers: Sequence[str]) -> dict[str, Json]:
    """For the proof of a drill."""
    found = list[Json](left_open(layers))
    return {"isolation": ", ".join(layers) or NONE} | ({"isolation_leaves_open": found} if found else {})


def require_shut(layers: Sequence[str]) -> None:
    """Raises `DrillExposedError`."""
    if found := list(left_open(layers)):
        raise DrillExposedError(
            "The drill is not made: the plan says `drill_isolation: required`, and on this machine code of the "
            f"restored database could reach {listing(found)}.",
            hint=_HINT,
        )


def require_no_server() -> None:
    """For a server that the plan names, it is unknown what can be reached from it. Raises `DrillExposedError`."""
    raise DrillExposedError(
        "The drill is not made: the plan says `drill_isolation: required`, and a drill_server is not isolated by this "
        "program.",
        hint="Remove `drill_server`, so that drills start a private server, or write `drill_isolation: available`.",
    )
