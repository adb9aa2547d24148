"""Behind a connection pooler: exact, or refused by name; and the pool's sessions stay as the application knows them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest

from backup_platform.errors import SourceError, TargetError
from backup_platform.sources.postgres.connect.connections import adbc_uri, connect
from backup_platform.sources.postgres.connect.settings import PINNED, loose_pins
from backup_platform.sources.postgres.options import PostgresOptions
from backup_platform_tests.sources.postgres.capture_support import MemoryRecorder, capture, source
from backup_platform_tests.sources.postgres.connect.poolers import pooled_url, pooler
from backup_platform_tests.sources.postgres.point_bench import PointBench
from backup_platform_tests.sources.postgres.servers import SECRET_ROLE, Server, execute, fetch, fetch_value

REFUSED = "through a connection pooler in transaction or statement mode"


@contextmanager
def through(server: Server, url: str, mode: str, **settings: str) -> Iterator[str]:
    with pooler(server, mode, **settings) as port:
        yield pooled_url(port, url)


def settings_of(url: str) -> list[tuple[str, ...]]:
    """What the application's next session has."""
    names = ", ".join(f"current_setting('{name}', true)" for name in PINNED if name != "client_encoding")
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(f"SELECT {names}".encode()).fetchall()


@pytest.mark.parametrize("mode", ["transaction", "statement"])
def test_a_pool_of_transactions_is_refused_and_left_as_it_was(
    server18: Server, database18: str, mode: str
) -> None:
    execute(database18, "CREATE TABLE t (x int)")
    with through(server18, database18, mode) as url:
        before = settings_of(url)
        recorder = MemoryRecorder()
        with pytest.raises(SourceError, match=REFUSED) as caught:
            capture(url, recorder=recorder)
        assert "pool_mode=session" in caught.value.hint
        assert not caught.value.retryable
        with pytest.raises(SourceError, match=REFUSED):
            source(url).probe()
        assert recorder.streams == {}
        assert settings_of(url) == before


@pytest.mark.parametrize("round_robin", ["0", "1"])
def test_a_busy_pool_of_transactions_is_always_recognised(
    server18: Server, database18: str, round_robin: str
) -> None:
    with through(server18, database18, "transaction", server_round_robin=round_robin) as url:
        stop = threading.Event()

        def work() -> None:
            with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
                while not stop.is_set():
                    connection.execute("SELECT count(*) FROM pg_class")

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(10):
                with pytest.raises(SourceError, match=REFUSED):
                    connect(url)
        finally:
            stop.set()
            for thread in threads:
                thread.join()


def test_a_pool_of_sessions_works_and_gets_them_back_as_they_were(
    server18: Server, database18: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    execute(
        database18,
        "CREATE TABLE t (id int PRIMARY KEY, i interval)",
        "INSERT INTO t VALUES (1, '1 day 2:00')",
    )
    # As the role is a superuser.
    execute(server18.url(), f"ALTER ROLE {SECRET_ROLE} SET search_path = pg_catalog")
    request.addfinalizer(lambda: execute(server18.url(), f"ALTER ROLE {SECRET_ROLE} RESET search_path"))
    settings = {"server_reset_query": "", "default_pool_size": "8"}
    with through(server18, database18, "session", **settings) as url, server18.database() as target:
        with closing(psycopg.connect(url, autocommit=True)):
            before = settings_of(url)
        made = PointBench(tmp_path / "repository", PostgresOptions(url, bin_dir=server18.bin_dir))
        point = made.backup()
        into = f"{url.rpartition('/')[0]}/{target.split('@/')[1].split('?')[0]}"
        made.restore(point, into)
        assert fetch(target, "SELECT id, i::text FROM t") == [(1, "1 day 02:00:00")]
        assert {settings_of(url)[0] for _ in range(9)} == {before[0]}


def test_a_restore_through_a_pool_of_transactions_is_refused(
    server18: Server, database18: str, tmp_path: Path
) -> None:
    execute(database18, "CREATE TABLE t (x int)")
    made = PointBench(tmp_path / "repository", PostgresOptions(database18, bin_dir=server18.bin_dir))
    point = made.backup()
    with server18.database() as target, through(server18, target, "transaction") as url:
        with pytest.raises(TargetError, match=REFUSED):
            made.restore(point, url)
        assert not fetch_value(target, "SELECT count(*) FROM pg_class WHERE relname = 't'")


def test_pins_that_do_not_hold_are_seen_inside_the_transaction(
    database18: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a pooler that nothing else gives away."""
    execute(database18, "CREATE TABLE t (x int)")
    monkeypatch.setattr(
        "backup_platform.sources.postgres.capture.snapshot.local_pins",
        lambda version, **others: "SET extra_float_digits = 0",
    )
    with pytest.raises(SourceError, match=REFUSED):
        capture(database18)


def test_another_session_at_the_end_of_a_capture_is_seen(
    database18: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(database18, "CREATE TABLE t (x int)")
    asked: list[int] = []

    def moving(version: int) -> str:
        asked.append(version)
        return loose_pins(version).replace("pg_catalog.pg_backend_pid()", str(len(asked)), 1)

    monkeypatch.setattr("backup_platform.sources.postgres.capture.snapshot.loose_pins", moving)
    with pytest.raises(SourceError, match=REFUSED):
        capture(database18)
    assert len(asked) == 2


TIMEOUTS = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")


def test_the_shortest_timeouts_of_a_database_stop_nothing(server: Server, tmp_path: Path) -> None:
    newer = {15: ["idle_session_timeout"], 18: ["idle_session_timeout", "transaction_timeout"]}
    with server.database() as url, server.database() as target:
        execute(url, "CREATE TABLE t AS SELECT 1 AS x")
        for each in (url, target):
            name = each.split("@/")[1].split("?")[0]
            for timeout in (*TIMEOUTS, *newer[server.major]):
                execute(server.url(), f"ALTER DATABASE {name} SET {timeout} = '1ms'")
        made = PointBench(tmp_path / "repository", PostgresOptions(url, bin_dir=server.bin_dir))
        made.restore(made.backup(), target)
        with connect(target) as connection:
            assert connection.execute("SELECT x FROM public.t").fetchall() == [(1,)]


def test_options_of_the_url_and_the_environment_are_kept(
    server18: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c geqo=off")
    with connect(server18.url()) as connection:
        assert connection.execute("SHOW geqo").fetchone() == ("off",)
    with connect(server18.url() + "&options=-c%20geqo_seed%3D0.5") as connection:
        assert connection.execute("SHOW geqo_seed").fetchone() == ("0.5",)
    assert "geqo=off" in adbc_uri(server18.url())


def test_a_server_that_was_replaced_by_an_older_one_is_reached(
    server15: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backup_platform.sources.postgres.connect import connections as connecting

    with connect(server15.url()):
        place = next(key for key in connecting._VERSIONS if server15.socket_dir in key)
    monkeypatch.setitem(connecting._VERSIONS, place, 180_000)
    with connect(server15.url()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert connecting._VERSIONS[place] // 10_000 == 15
