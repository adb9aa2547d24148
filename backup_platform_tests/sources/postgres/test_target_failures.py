"""What goes wrong on the server that is restored into, by the facts of the error and not by its words."""

from __future__ import annotations

from typing import Any

import pytest

from backup_platform.errors import SourceError, SourceMissingError, TargetError, TargetRefusedError
from backup_platform.sources.postgres.failures import as_source_error
from backup_platform.sources.postgres.restore.shortfall import Shortfall
from backup_platform.sources.postgres.target_failures import target_errors
from backup_platform.sources.postgres.tools import tool_failure


def as_target(error: Exception) -> TargetError:
    with pytest.raises(TargetError) as caught, target_errors("The target"):
        raise error
    return caught.value


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (SourceError("no", refusal="login", hint="the plan's url"), "user and password in the url"),
        (SourceError("no", refusal="access", hint="SELECT"), "CONNECT on the database"),
        (SourceMissingError("no"), "let --create do it"),
        (SourceError("refused the login, it says", hint="Look at its log."), "Look at its log."),
        (tool_failure("psql", 2, 'FATAL: password authentication failed for user "x"'), "in the url"),
    ],
)
def test_the_advice_follows_what_was_refused(error: SourceError, hint: str) -> None:
    assert hint in as_target(error).hint


class _ServerError(Exception):
    sqlstate = "53100"


def test_a_full_disk_is_a_fact() -> None:
    said = 'could not extend file "base/1": No space left on device'
    of_a_server = as_source_error(_ServerError(said), "The server")
    assert (of_a_server.refusal, of_a_server.subject) == ("room", "The server")
    assert as_target(of_a_server).full
    assert as_target(tool_failure("pg_restore", 1, said)).full
    with pytest.raises(TargetError) as caught:
        Shortfall((), stop=True).add("table t", said)
    assert (caught.value.full, caught.value.said) == (True, said)
    assert not as_target(SourceError("is away")).full


def test_what_the_server_refuses_keeps_its_words() -> None:
    import psycopg

    refused: Any = as_target(psycopg.errors.UndefinedTable('relation "t" does not exist'))
    assert isinstance(refused, TargetRefusedError)
    assert refused.said == 'relation "t" does not exist'
