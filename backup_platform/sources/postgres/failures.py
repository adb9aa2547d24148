"""What a server, a driver or a tool reports, as the project's errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from backup_platform.errors import (
    Refusal,
    SourceBusyError,
    SourceConnectionsError,
    SourceEncodingError,
    SourceError,
    SourceLocksError,
    SourceMissingError,
    SourceUnreadableError,
)


@dataclass(frozen=True, slots=True)
class _Meaning:
    kind: type[SourceError]
    what: str
    hint: str = ""
    retryable: bool = False
    refusal: Refusal = ""


_CHANGED = _Meaning(
    SourceError,
    "changed while it was being captured",
    "Nothing was stored. Run it again when no migration runs.",
    retryable=True,
)
_ENCODING = _Meaning(
    SourceEncodingError,
    "holds text that is not valid in its encoding, or has no form in UTF-8",
    "Repair the text that the message names, or exclude the table.",
)
_LOST = _Meaning(SourceError, "closed the connection", "Is it restarting? Look at its log.", retryable=True)
_FULL = _Meaning(SourceError, "is short of a resource", "Look at its log.", retryable=True)
_DAMAGED = _Meaning(
    SourceUnreadableError,
    "reports that its data is damaged",
    "Check it with pg_amcheck; restore the table from a recovery point that passed its drill.",
)
_FILES = _Meaning(SourceUnreadableError, "could not read its files", "Look at its log.")
# By SQLSTATE, or by its first two characters.
_BY_CODE = {
    "3D000": _Meaning(SourceMissingError, "has no such database", "Check the database's name in the plan."),
    "28": _Meaning(
        SourceError,
        "refused the login",
        "Check user and password in the plan's url, and pg_hba.conf.",
        refusal="login",
    ),
    "42501": _Meaning(
        SourceError,
        "denied access",
        "Give the role SELECT on everything to be captured (GRANT pg_read_all_data), "
        "and BYPASSRLS where tables have policies.",
        refusal="access",
    ),
    "55P03": _Meaning(
        SourceBusyError,
        "did not give a lock in time",
        "Raise the source's lock_timeout, or choose a time when no migration runs.",
        retryable=True,
    ),
    "42P01": _CHANGED,
    "42703": _CHANGED,
    "3F000": _CHANGED,
    "22021": _ENCODING,
    "22P05": _ENCODING,
    "57P04": _Meaning(SourceMissingError, "lost the database: it was dropped"),
    "57014": _Meaning(
        SourceError, "cancelled a query: somebody asked it to, or a statement_timeout passed", retryable=True
    ),
    "57": _LOST,
    "08": _LOST,
    "25P03": _LOST,
    "40": _Meaning(
        SourceError,
        "cancelled a query because of concurrent work",
        "On a standby: set hot_standby_feedback, or raise max_standby_streaming_delay.",
        retryable=True,
    ),
    "53200": _Meaning(
        SourceLocksError,
        "is out of memory",
        "With many tables: raise max_locks_per_transaction on the server.",
        retryable=True,
    ),
    "53300": _Meaning(
        SourceConnectionsError, "is short of a resource, and gives no more connections", retryable=True
    ),
    "53": _FULL,
    "58": _FILES,
    "XX001": _DAMAGED,
    "XX002": _DAMAGED,
    "54": _Meaning(
        SourceUnreadableError,
        "reached one of its limits",
        "A row of more than 1 GB cannot leave a PostgreSQL server.",
    ),
}
_FAILED = _Meaning(SourceError, "reported an error")

# Refused connections have no SQLSTATE, nor what fails in the middle of an Arrow stream: there is only its text, which
# is the server's and may be in another language. More specific texts come first.
_BY_TEXT = (
    ("does not exist", "3D000", "database "),
    ("password authentication failed", "28", ""),
    ("authentication failed", "28", ""),
    ("no password supplied", "28", ""),
    ("no pg_hba.conf entry", "28", ""),
    ("does not exist", "28", "role "),
    ("permission denied for database", "42501", ""),
    ("the database system is", "57", ""),
    ("too many", "53300", ""),
    ("remaining connection slots", "53300", ""),
    ("no more connections allowed", "53300", ""),
    ("query_wait_timeout", "53300", ""),
    ("out of shared memory", "53200", ""),
    ("invalid byte sequence for encoding", "22021", ""),
    ("invalid page in block", "XX001", ""),
    ("data is corrupt", "XX001", ""),
    ("for toast value", "XX001", "chunk"),
    ("could not access status of transaction", "58", ""),
    ("could not read block", "58", ""),
    ("could not open file", "58", ""),
    ("has no equivalent in encoding", "22P05", ""),
    ("conversion between", "22021", "is not supported"),
    ("due to conflict with recovery", "40", ""),
    ("due to lock timeout", "55P03", ""),
    ("canceling statement", "57014", ""),
    ("terminating connection", "57", ""),
    ("could not open relation", "42P01", ""),
    ("invalid memory alloc", "54", ""),
    ("cannot enlarge string buffer", "54", ""),
)
_NO_ROOM = ("No space left on device", "Disk quota exceeded")
_UNREACHABLE = (
    "Connection refused",
    "No such file or directory",
    "timeout expired",
    "timed out",
    "Network is unreachable",
    "No route to host",
    "Temporary failure in name resolution",
)
_GONE = (
    "closed the connection",
    "connection is closed",
    "connection is lost",
    "consuming input failed",
    "no connection to the server",
    "SSL SYSCALL error",
    "connection not open",
    "connection pointer is NULL",
    "could not receive data from server",
    "could not send data to server",
)


@contextmanager
def postgres_errors(server: str) -> Iterator[None]:
    """Raise what psycopg or ADBC report inside the block as a `SourceError` about `server`, described for people."""
    import adbc_driver_manager
    import psycopg

    try:
        yield
    except (psycopg.Error, adbc_driver_manager.Error) as error:
        raise as_source_error(error, server) from error


@contextmanager
def arrow_errors(server: str) -> Iterator[None]:
    """Like `postgres_errors`, for the next batch of a result, whose failures are pyarrow's. The block does nothing
    else."""
    import pyarrow as pa

    with postgres_errors(server):
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            raise as_source_error(error, server) from error


def as_source_error(error: Exception, server: str) -> SourceError:
    """The error of a query or a connection; its text is the server's first line, which never holds a password."""
    text = str(error).strip()
    meaning = _meaning(sqlstate(error), text)
    detail = _detail(error, text)
    return meaning.kind(
        f"{server} {meaning.what}: {detail}",
        hint=meaning.hint,
        subject=server,
        said=detail,
        retryable=meaning.retryable,
        refusal=meaning.refusal or ("room" if no_room(detail) else ""),
    )


def no_room(said: str) -> bool:
    """Whether a server or its program says that a disk is full. PostgreSQL passes on the system's words."""
    return any(phrase in said for phrase in _NO_ROOM)


def sqlstate(error: Exception) -> str:
    """The server's code, "" where there is none."""
    return str(getattr(error, "sqlstate", None) or "")


def _meaning(code: str, text: str) -> _Meaning:
    if code == "XX000" and "could not open relation" in text:
        return _CHANGED
    if code == "XX000" and "for toast value" in text:  # a chunk of it is missing
        return _DAMAGED
    if "snapshot" in text and "does not exist" in text:  # the session that holds it is gone
        return _LOST
    if code:
        return _BY_CODE.get(code) or _BY_CODE.get(code[:2]) or _FAILED
    return _meaning_of_text(text)


def _meaning_of_text(text: str) -> _Meaning:
    for phrase, code, also in _BY_TEXT:
        if phrase in text and also in text:
            return _BY_CODE[code]
    if any(phrase in text for phrase in _UNREACHABLE):
        return _Meaning(
            SourceError, "cannot be reached", "Is it running, and is the url right?", retryable=True
        )
    if any(phrase in text for phrase in _GONE):
        return _LOST
    if "definition of service" in text:
        return _Meaning(
            SourceError,
            "is in no service file",
            "Write the service into ~/.pg_service.conf, or into the file that PGSERVICEFILE names.",
        )
    if "could not translate host name" in text or "failed to resolve host" in text:
        return _Meaning(SourceError, "cannot be found", "Check the host in the url.")
    return _FAILED


def _detail(error: Exception, text: str) -> str:
    diagnosis = getattr(error, "diag", None)
    primary = getattr(diagnosis, "message_primary", None)
    lines = [str(primary)] if primary else text.splitlines()
    line = next((line.strip() for line in lines if line.strip()), type(error).__name__)
    return line if line.endswith(".") else f"{line}."
