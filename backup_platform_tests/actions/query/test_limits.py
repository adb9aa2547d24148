"""A query ends when it is interrupted and when its time is over, and what it holds and spills is bounded."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

import pytest

from backup_platform.actions.query import jobs
from backup_platform.actions.query.engine import Engine
from backup_platform.actions.query.jobs import Jobs
from backup_platform.actions.query.results import QueryResult
from backup_platform.actions.query.run import query
from backup_platform.actions.tables.diff import diff_table
from backup_platform.errors import TimeLimitError, UsageError
from backup_platform_tests.actions.tables_support import (
    Relation,
    open_tables,
    rows_table,
    store_tables,
    tables_bench,
)
from backup_platform_tests.support import Bench

ENDLESS = "select count(*) from range(10000000) a, range(10000000) b where hash(a.range + b.range) = 1"


def batches(engine: Engine, sql: str) -> Iterator[Any]:
    return QueryResult(engine, engine.query(sql), "text", "").batches()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    made = tables_bench(tmp_path_factory.mktemp("limits") / "repository")
    store_tables(made, Relation("public", "t", [rows_table(n=[1, 2])], ("n",)))
    store_tables(made, Relation("public", "t", [rows_table(n=[1, 3])], ("n",)))
    return made


def test_a_query_has_a_time_limit(bench: Bench) -> None:
    (point, *_) = bench.open().points.all()
    tables = open_tables(bench, point)
    with (
        query(tables, f"{ENDLESS} and a.range in (from t)", time_limit_s=0.3) as result,
        pytest.raises(TimeLimitError, match="time limit") as caught,
    ):
        list(result.batches())
    assert (caught.value.code, caught.value.exit_code) == ("time-limit", 1)
    assert "--time-limit" in caught.value.hint
    with query(tables, "from t", time_limit_s=None) as result:
        assert sum(map(len, result.batches())) == 2


def test_a_comparison_has_one_too(bench: Bench) -> None:
    tables = [open_tables(bench, point) for point in bench.open().points.all()]
    with pytest.raises(TimeLimitError):
        diff_table(tables[0], tables[1], "t", time_limit_s=0)
    assert diff_table(tables[0], tables[1], "t").added == 1


def test_the_limit_is_of_all_that_is_done_and_not_of_who_reads() -> None:
    with Engine(time_limit_s=30) as engine:
        read = batches(engine, "from range(3000)")
        next(read)
        used = engine._jobs._used_s
        threading.Event().wait(0.2)
        assert engine._jobs._used_s == used
        engine._jobs._used_s = 31
        with pytest.raises(TimeLimitError):
            list(read)


def test_ctrl_c_ends_it() -> None:
    def endless() -> None:
        with Engine() as engine:
            timer.start()
            list(batches(engine, ENDLESS))

    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        endless()
    timer.join()
    assert not running()


class SignalOnPut(SimpleQueue[Any]):
    """A signal that comes when the work was handed over, and nobody waits for it yet."""

    def put(self, item: Any, *_: Any) -> None:
        super().put(item)
        if item is not None:
            raise KeyboardInterrupt


def test_a_signal_while_the_work_begins_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "SimpleQueue", SignalOnPut)
    ended = Jobs(lambda: told.set(), None)
    told = threading.Event()
    with pytest.raises(KeyboardInterrupt):
        ended.run(lambda: told.wait(60))
    assert not running()
    with pytest.raises(TimeLimitError):
        ended.run(lambda: None)


def test_no_wait_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python acts on a signal that comes right before a wait when that is over."""
    waits: list[float | None] = []

    class Watched(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout)
            return super().wait(timeout)

    monkeypatch.setattr(jobs, "Event", Watched)
    for limit in (None, 60):
        done = Jobs(lambda: None, limit)
        done.run(lambda: threading.Event().wait(0.3))
        done.end()
    assert len(waits) >= 4
    assert not [wait for wait in waits if wait is None or wait > 0.2]


def running() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "query"]


def test_what_is_spilled_is_bounded_and_the_advice_says_where_there_is_room() -> None:
    with Engine(memory="50MB") as engine:
        (limit,) = engine._connection.sql("select current_setting('max_temp_directory_size')").fetchall()
        free = os.statvfs(engine._spill.name).f_bavail * os.statvfs(engine._spill.name).f_frsize
        assert limit[0].split()[1][0] in "KMGT"
        assert float(limit[0].split()[0]) * 1024 ** ("KMGT".index(limit[0].split()[1][0]) + 1) < free
    with pytest.raises(UsageError) as caught, Engine() as engine, engine.translated():
        raise OSError("failed to offload: max_temp_directory_size was set to 1.0 GiB")
    assert "TMPDIR" in caught.value.hint


def test_a_batch_of_large_values_is_small() -> None:
    with Engine() as engine:
        sizes = [batch.nbytes for batch in batches(engine, "select repeat('x', 20000) from range(5000)")]
    assert max(sizes) < 25 << 20
