"""`query` and `tables` over a real repository."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from backup_platform.cli import context
from backup_platform_tests.actions.tables_support import Relation, rows_table, store_tables, tables_bench
from backup_platform_tests.cli.conftest import Cli
from backup_platform_tests.cli.tables_support import tables_app
from backup_platform_tests.support import Bench

ORDERS = rows_table(id=[1, 2, 3, 4], what=["tea", None, "NULL", ""])
MANY = 25_000


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    made = tables_bench(tmp_path_factory.mktemp("query") / "repository")
    store_tables(
        made,
        Relation("public", "orders", [ORDERS], ("id",)),
        Relation("public", "many", [rows_table(n=list(range(MANY)))]),
        Relation("Odd one", "json", [rows_table(j=['{"a": 1}'])], types={"j": "jsonb"}),
    )
    return made


@pytest.fixture
def run(bench: Bench, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setattr(context, "app_factory", lambda plan: tables_app(bench))
    return cli


def test_a_table_for_people(run: Cli) -> None:
    ran = run("query", "shop@latest", "select * from orders order by id")
    assert ran.code == 0
    assert ran.out.splitlines() == ["id  what", " 1  tea", " 2  NULL", ' 3  "NULL"', " 4", "(4 rows)"]


def test_a_limit_says_that_there_are_more(run: Cli) -> None:
    assert run("query", "shop@latest", "from orders", "--limit", "3").out.splitlines()[-1] == (
        "(the first 3 rows; there are more)"
    )
    assert run("query", "shop@latest", "from orders", "--limit", "4").out.splitlines()[-1] == "(4 rows)"


def test_every_row_of_many_is_printed(run: Cli) -> None:
    lines = run("query", "shop@latest", "select n from many order by n").out.splitlines()
    numbers = [int(line) for line in lines if line.strip().isdecimal()]
    assert numbers == list(range(MANY))


@pytest.mark.parametrize("option", [["--json"], ["--format", "json"], ["--json", "--format", "json"]])
def test_one_document(run: Cli, option: list[str]) -> None:
    document = run("query", "shop@latest", "select id, what from orders where id < 3", *option).document
    assert document.pop("point")
    assert document == {
        "columns": [{"name": "id", "type": "BIGINT"}, {"name": "what", "type": "VARCHAR"}],
        "rows": [{"id": 1, "what": "tea"}, {"id": 2, "what": None}],
    }


def test_csv_tells_null_from_an_empty_text(run: Cli) -> None:
    ran = run("query", "shop@latest", "select what, id from orders", "--format", "csv")
    assert ran.out.splitlines() == ['"what","id"', '"tea",1', ",2", '"NULL",3', '"",4']


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_a_file(run: Cli, tmp_path: Path, form: str) -> None:
    file = tmp_path / f"out.{form}"
    file.write_text("replaced")
    ran = run("query", "shop@latest", "from many", "--output", str(file), "--json")
    document = ran.document
    assert (document["rows"], document["format"], document["more"]) == (MANY, form, False)
    assert document["bytes"] == file.stat().st_size
    if form == "parquet":
        found = pq.read_table(file).column("n").to_pylist()
    elif form == "csv":
        found = [int(row["n"]) for row in csv.DictReader(io.StringIO(file.read_text()))]
    else:
        found = [row["n"] for row in json.loads(file.read_text())["rows"]]
    assert found == list(range(MANY))
    assert os.listdir(tmp_path) == [file.name]


def test_a_query_that_fails_half_way_leaves_the_file_as_it_was(run: Cli, tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    file.write_text("mine")
    sql = "select case when n = 24999 then 'x'::int else n end from many"
    assert run("query", "shop@latest", sql, "-o", str(file)).code == 2
    assert (file.read_text(), os.listdir(tmp_path)) == ("mine", ["out.csv"])


def test_an_error_is_a_message_and_a_document(run: Cli) -> None:
    ran = run("query", "shop@latest", "from order", "--json")
    assert ran.code == 2
    assert ran.document["error"]["code"] == "usage"
    ran = run("query", "shop@latest", "from ordres")
    assert ran.code == 2
    assert "ordres does not exist" in ran.err
    assert 'hint: Its tables are: "Odd one".json, public.many, public.orders.' in ran.err


def test_a_row_that_fails_late_ends_the_document_with_the_error(run: Cli) -> None:
    sql = "select case when n = 24999 then 'x'::int else n end a from many"
    ran = run("query", "shop@latest", sql, "--json")
    assert (ran.code, ran.document["error"]["code"]) == (2, "usage")


@pytest.mark.parametrize(
    "options",
    [
        ["--format", "xml"],
        ["--json", "--format", "csv"],
        ["--limit", "-1"],
        ["--limit", "many"],
        ["--output", "/nowhere/x.csv"],
    ],
)
def test_options_that_make_no_sense(run: Cli, options: list[str]) -> None:
    ran = run("query", "shop@latest", "from orders", *options)
    assert ran.code == (1 if "--output" in options else 2)
    assert ran.err.startswith("error [")


def test_the_query_may_come_from_standard_input(run: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("select count(*) n from orders\n"))
    assert run("query", "shop@latest", "-", "--json").document["rows"] == [{"n": 4}]


def test_tables(run: Cli) -> None:
    lines = run("tables", "shop@latest").out.splitlines()
    assert lines[0].split() == ["table", "rows", "size", "stored", "columns", "key"]
    assert [line.split("  ")[0] for line in lines[1:]] == ['"Odd one".json', "public.many", "public.orders"]
    assert lines[3].split()[-2:] == ["2", "id"]
    document = run("tables", "shop@latest", "--json").document
    assert [table["sql_name"] for table in document["tables"]] == [
        '"Odd one".json',
        "public.many",
        "public.orders",
    ]
    assert document["tables"][2]["rows"] == 4
    assert document["tables"][2]["stored_bytes"] > 0


def test_the_columns_of_a_table(run: Cli) -> None:
    lines = run("tables", "shop@latest", "json").out.splitlines()
    assert lines[1].split() == ["column", "type", "stored", "as", "null", "key"]
    assert lines[2].split() == ["j", "jsonb", "text", "yes"]
    (table,) = run("tables", "shop@latest", "public.orders", "--json").document["tables"]
    assert table["columns"][0] == {"name": "id", "type": "bigint", "storage": "native", "nullable": False}
    assert table["key"] == ["id"]
    assert run("tables", "shop@latest", "nope").code == 11


WITHOUT = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name == "duckdb":
            raise ModuleNotFoundError("no duckdb", name=name)
sys.meta_path.insert(0, Refuse())
"""
SAYS_WHEN = """
import sys
from backup_platform.actions.query.results import QueryResult
read = QueryResult.batches
def announced(self):
    run = self._engine.run
    def begin(work):
        return run(lambda: (print("it runs", file=sys.stderr, flush=True), work())[1])
    self._engine.run = begin
    return read(self)
QueryResult.batches = announced
"""
AS_PROCESS = """
import sys
from pathlib import Path
from backup_platform.cli import context, entry
def app(plan):
    from backup_platform_tests.cli.tables_support import tables_app
    from backup_platform_tests.actions.tables_support import tables_bench
    return tables_app(tables_bench(Path(sys.argv[1])))
context.app_factory = app
code = entry.main(sys.argv[2:])
print("duckdb" in sys.modules, file=sys.stderr)
sys.exit(code)
"""


def as_process(bench: Bench, *arguments: str, before: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", before + AS_PROCESS, str(bench.root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_duckdb_ends_without_a_word_and_only_queries_load_it(bench: Bench) -> None:
    """Its binding complains on standard error about what is not freed when the process ends."""
    for sql, code in (("from orders", 0), ("from nope", 2), ("select what::int from orders", 2)):
        done = as_process(bench, "query", "shop@latest", sql)
        assert done.returncode == code
        assert "leak" not in done.stderr
        assert "Traceback" not in done.stderr
    done = as_process(bench, "tables", "shop@latest")
    assert (done.returncode, done.stderr) == (0, "False\n")


def test_without_duckdb_the_extra_is_named(bench: Bench) -> None:
    done = as_process(bench, "query", "shop@latest", "from orders", before=WITHOUT)
    assert done.returncode == 2
    assert "pip install 'backup-platform[query]'" in done.stderr


def test_whoever_reads_may_go_away(bench: Bench) -> None:
    command = [
        sys.executable,
        "-c",
        AS_PROCESS,
        str(bench.root),
        "query",
        "shop@latest",
        "from many a, many b",
    ]
    for form in ("table", "parquet"):
        pipe = subprocess.PIPE
        with subprocess.Popen([*command, "--format", form], stdout=pipe, stderr=pipe) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.read(1)
            process.stdout.close()
            errors = process.stderr.read()
        assert (process.returncode, b"Traceback" in errors) == (141, False)


def test_a_query_can_be_interrupted(bench: Bench) -> None:
    """DuckDB itself would go on for hours."""
    sql = "select count(*) from many a, many b, many c where hash(a.n + b.n + c.n) % 1000 = 1"
    command = [sys.executable, "-c", SAYS_WHEN + AS_PROCESS, str(bench.root), "query", "shop@latest", sql]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stderr is not None
        while (line := process.stderr.readline()) != "it runs\n":
            assert line
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    assert (process.returncode, "interrupted" in errors, "Traceback" in errors) == (130, True, False)


def test_a_query_has_a_time_limit(run: Cli) -> None:
    sql = "select count(*) from many a, many b, many c where hash(a.n + b.n + c.n) % 1000 = 1"
    ran = run("query", "shop@latest", sql, "--time-limit", "1s")
    assert ran.code == 1
    assert ran.err.startswith("error [time-limit]: It was ended after 1s, its time limit.\nhint: ")
    assert run("query", "shop@latest", "from orders", "--time-limit", "none").code == 0
    wrong = run("query", "shop@latest", "from orders", "--time-limit", "soon")
    assert (wrong.code, wrong.err.startswith("error [usage]: --time-limit: ")) == (2, True)
    assert run("diff", "shop@latest", "shop@latest", "--time-limit", "1s").code == 2
