"""The yardstick itself: PostgreSQL's own dump and restore of the fidelity database, and what the normaliser hides."""

from __future__ import annotations

from pathlib import Path

import pytest

from backup_platform_tests.sources.postgres.fidelity_database import (
    dump,
    fidelity_database,
    new_database,
    psql,
)
from backup_platform_tests.sources.postgres.normalise import differences, normalise
from backup_platform_tests.sources.postgres.servers import Server, fetch_value


@pytest.mark.soak
def test_postgresql_preserves_all_of_it(server: Server, tmp_path: Path) -> None:
    """So whatever differs after our restore is our doing."""
    with fidelity_database(server) as original, new_database(server) as restored:
        expected = dump(server, original, tmp_path / "original.sql")
        psql(server, restored, tmp_path / "original.sql", variables=[])
        assert differences(expected, dump(server, restored, tmp_path / "restored.sql")) == []


def test_the_database_holds_what_it_promises(server: Server) -> None:
    kinds = "SELECT string_agg(DISTINCT relkind::text, '' ORDER BY relkind::text) FROM pg_class WHERE oid >= 16384"
    with fidelity_database(server) as url:
        assert fetch_value(url, kinds) == "IScfimprtv"
        assert fetch_value(url, "SELECT count(*) FROM pg_largeobject_metadata") == 7
        assert fetch_value(url, "SELECT count(*) FROM pg_index WHERE NOT indisvalid") >= 1
        assert fetch_value(url, "SELECT count(*) FROM pg_am WHERE oid >= 16384") == 2
        assert fetch_value(
            url, "SELECT isinf FROM (SELECT d = 'infinity' isinf FROM scalars.dates_infinite) x WHERE isinf"
        )


COPY = "-- Dumped by pg_dump version 1\nCOPY a.t (v) FROM stdin;\n{}\n\\.\n\nCREATE TABLE x;\n"


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("1\n2", "1"),  # a row
        ("1", "2"),  # a value
        ("1", "1\n1"),  # a row twice
        ("\\N", ""),  # NULL or an empty string
        ("a", "a "),
        ("a\r", "a"),
    ],
)
def test_the_normaliser_hides_no_difference_of_data(tmp_path: Path, left: str, right: str) -> None:
    first, second = tmp_path / "1.sql", tmp_path / "2.sql"
    first.write_text(COPY.format(left), newline="")
    second.write_text(COPY.format(right), newline="")
    assert differences(normalise(first), normalise(second)) != []


def test_the_normaliser_hides_order_of_rows_and_tools(tmp_path: Path) -> None:
    first, second = tmp_path / "1.sql", tmp_path / "2.sql"
    first.write_text(COPY.format("1\n2"))
    second.write_text(COPY.format("2\n1").replace("version 1", "version 2"))
    assert differences(normalise(first), normalise(second)) == []
