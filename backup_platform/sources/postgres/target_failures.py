"""What goes wrong on the server that is restored into: always a `TargetError`, never the source's fault."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from backup_platform.advice import Hint
from backup_platform.errors import SourceError, SourceMissingError, TargetError, TargetRefusedError
from backup_platform.sources.postgres.failures import as_source_error, no_room, sqlstate

# Classes of SQLSTATE about the connection and the server itself; "" is a connection that was refused or lost.
_OF_SERVER = ("", "08", "28", "3D", "53", "57")
_LOGIN = "Check user and password in the url, and pg_hba.conf."


@contextmanager
def target_errors(server: str) -> Iterator[None]:
    """Raise what psycopg or the connection reports inside the block as a `TargetError` about `server`."""
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        raise _as_target_error(error, server) from error
    except SourceError as error:
        raise _of_connection(error) from error


def words(error: Exception) -> str:
    """What the server said, without the rows that it may show in its details."""
    diagnosis = getattr(error, "diag", None)
    primary = getattr(diagnosis, "message_primary", None)
    return str(primary or (str(error).strip().splitlines() or ["an error"])[0])


def _as_target_error(error: Exception, server: str) -> TargetError:
    code = sqlstate(error)
    if code[:2] in _OF_SERVER:
        return _of_connection(as_source_error(error, server))
    said = words(error)
    hint = (
        "The url's role must be a superuser, or own the database and what is restored."
        if code == "42501"
        else ""
    )
    return TargetRefusedError(
        f"{server} refused: {said}.", subject=server, said=said, hint=hint, full=no_room(said)
    )


def _of_connection(error: SourceError) -> TargetError:
    hint: Hint = error.advice
    if isinstance(error, SourceMissingError):
        hint = "Create the database first, or let --create do it."
    elif error.refusal == "login":
        hint = _LOGIN
    elif error.refusal == "access":
        hint = "Give the url's role CONNECT on the database."
    return TargetError(
        error.message, hint=hint, said=error.said, retryable=error.retryable, full=error.refusal == "room"
    )
