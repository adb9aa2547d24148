"""Volatile functions of a restored database, called by a trigger and by views, try what only a superuser may."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from backup_platform.sources.postgres.restore.two_roles import roles
from backup_platform_tests.sources.postgres.drill.drill_support import captured
from backup_platform_tests.sources.postgres.servers import Server, execute

# In a drill it says what it could do; in the source, whose capture may be a superuser's, it is quiet.
_TRIES = """
CREATE FUNCTION public.tries(place text) RETURNS int VOLATILE LANGUAGE plpgsql AS $f$
DECLARE statement text;
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'backup_platform_runner') THEN RETURN 1; END IF;
  FOREACH statement IN ARRAY ARRAY[
    'COPY (SELECT 1) TO PROGRAM ''true''', 'COPY public.copied FROM PROGRAM ''echo 1''',
    'COPY (SELECT 1) TO ''/tmp/backup_platform_volatile''', 'COPY public.copied FROM ''/etc/passwd''',
    'ALTER ROLE CURRENT_USER SUPERUSER', 'ALTER ROLE SESSION_USER SUPERUSER', 'CREATE ROLE another SUPERUSER',
    'SET SESSION AUTHORIZATION postgres', 'SELECT pg_catalog.pg_read_file(''/etc/passwd'')']
  LOOP
    BEGIN
      EXECUTE statement;
    EXCEPTION WHEN OTHERS THEN CONTINUE; END;
    RAISE EXCEPTION 'PWNED in % by %', place, statement;
  END LOOP;
  RETURN 1;
END $f$
"""
_DATABASE = (
    "CREATE TABLE public.copied (line text)",
    _TRIES,
    "CREATE TABLE watched (i int)",
    "INSERT INTO watched VALUES (1)",
    "CREATE FUNCTION fired() RETURNS trigger LANGUAGE plpgsql "
    "AS 'BEGIN PERFORM public.tries(''trigger''); RETURN NEW; END'",
    "CREATE TRIGGER t BEFORE INSERT ON watched FOR EACH ROW EXECUTE FUNCTION fired()",
    "ALTER TABLE watched ENABLE ALWAYS TRIGGER t",
    "CREATE VIEW seen AS SELECT public.tries('view') AS i FROM watched",
    "CREATE MATERIALIZED VIEW mat AS SELECT public.tries('materialised view') AS i FROM watched",
)


@pytest.mark.parametrize("careless", [False, True], ids=["as it is", "were the role a superuser"])
def test_volatile_functions_copy_nothing_and_become_no_superuser(
    server15: Server, open_tmp: Path, monkeypatch: pytest.MonkeyPatch, careless: bool
) -> None:
    before = roles._statements

    def statements(runner: str, *arguments: object) -> Iterator[str]:
        yield from before(runner, *arguments)  # type: ignore[arg-type]
        if careless:
            yield f"ALTER ROLE {runner} SUPERUSER"

    monkeypatch.setattr(roles, "_statements", statements)
    execute(server15.url(), "CREATE ROLE app")
    try:
        with server15.database() as url:
            execute(url, "GRANT CREATE ON SCHEMA public TO app", "SET ROLE app", *_DATABASE)
            told = captured(url, open_tmp, assertions=("SELECT count(*) = 1 FROM seen",)).drill().differences
    finally:
        execute(server15.url(), "DROP ROLE IF EXISTS app")
    assert ("PWNED in" in " ".join(told)) is careless, told
    assert careless or told == ()
