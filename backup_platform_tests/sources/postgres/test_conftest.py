"""The fixtures that other tests stand on."""

from __future__ import annotations

import psycopg
import pytest

from backup_platform_tests.sources.postgres.servers import SECRET, Server, execute, fetch_value


def test_each_server_is_of_its_version(database15: str, database18: str) -> None:
    versions = [fetch_value(url, "SHOW server_version_num") for url in (database15, database18)]
    assert [int(version) // 10000 for version in versions] == [15, 18]


@pytest.mark.parametrize("_", range(2))
def test_a_database_and_its_cluster_are_fresh(_: int, database: str) -> None:
    execute(database, "CREATE ROLE somebody", "CREATE TABLE t (a int)", "ALTER TABLE t OWNER TO somebody")
    assert (
        fetch_value(database, "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace")
        == 1
    )


def test_over_tcp_the_password_is_needed(server18: Server, secret_url: str) -> None:
    assert fetch_value(secret_url, "SELECT inet_client_addr() IS NOT NULL")
    assert SECRET not in secret_url  # encoded
    wrong = secret_url.replace("s3cret", "wrong")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        fetch_value(wrong, "SELECT 1")
