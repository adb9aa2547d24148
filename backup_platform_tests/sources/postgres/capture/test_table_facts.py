"""Facts of tables: equal for equal rows on every server, different for anything else."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import psycopg
import pytest

import backup_platform.sources.postgres.capture.table_facts
from backup_platform.domain.tables import Column, Storage, Table
from backup_platform.errors import SourceError
from backup_platform.sources.postgres.capture.table_facts import (
    RECORD_HASH,
    RECORD_SEND,
    TableFact,
    best_algorithm,
    shared_table_facts,
    table_facts,
)
from backup_platform.sources.postgres.connect.connections import connect
from backup_platform.sources.postgres.options import Facts
from backup_platform_tests.sources.postgres.servers import Server, execute

if TYPE_CHECKING:
    from backup_platform.sources.postgres.connect.connections import Connection

MAKE = """
CREATE TYPE mood AS ENUM ('glad', 'sad');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN padded AS char(4);
CREATE TABLE t (id bigint PRIMARY KEY, n numeric, f float8, s text, e mood, c pair, a int[], p padded, ch char(5),
    j jsonb, i interval, ts timestamptz, b bytea, ip inet, m money, k text, u uuid, d date, gone int);
ALTER TABLE t DROP COLUMN gone;
INSERT INTO t SELECT x, x * 1.50, x / 3.0, 'é' || x, 'glad', ROW(x, NULL::text)::pair, ARRAY[x, 2], 'ab', 'x ',
    '{"a": 1.0}',
    '1 mon 2 days', '2020-01-01', '\\x00ff', '10.0.0.1/32', '1.25', 'k', gen_random_uuid(), '-infinity'
    FROM generate_series(1, 999) x;
UPDATE t SET u = '00000000-0000-0000-0000-000000000001';
INSERT INTO t (id, n, f, c) VALUES (-1, 'NaN', 'NaN', NULL), (-2, 1, '-0', ROW(NULL::int, NULL::text)::pair),
    (-3, 1, 0, NULL);
CREATE TABLE empty (a int); CREATE TABLE bare (); INSERT INTO bare DEFAULT VALUES; INSERT INTO bare DEFAULT VALUES;
"""
COLUMNS = ("id", "n", "f", "s", "e", "c", "a", "p", "ch", "j", "i", "ts", "b", "ip", "m", "k", "u", "d")


def table(name: str, columns: tuple[str, ...], key: tuple[str, ...] = ()) -> Table:
    stored = tuple(Column(column, "?", Storage.TEXT) for column in columns)
    return Table("public", name, stored, key, 0, ())


T = table("t", COLUMNS, ("id",))


def facts(
    url: str, *tables: Table, mode: Facts = "full", algorithm: str = RECORD_HASH
) -> dict[str, TableFact]:
    with connect(url) as connection:
        return table_facts(connection, tables, mode, algorithm)


def make(url: str, *changes: str) -> None:
    execute(url, "CREATE SCHEMA IF NOT EXISTS public", MAKE, *changes)


@pytest.mark.parametrize("algorithm", [RECORD_SEND, RECORD_HASH])
@pytest.mark.parametrize("mode", ["full", "sampled", "counts"])
def test_equal_on_servers_of_two_versions(
    database15: str, database18: str, mode: Facts, algorithm: str
) -> None:
    tables = (T, table("empty", ("a",)), table("bare", ()))
    make(database15)
    make(
        database18,
        "CREATE TABLE copy AS SELECT * FROM t ORDER BY s DESC",
        "TRUNCATE t",
        "INSERT INTO t TABLE copy",
    )
    found = facts(database15, *tables, mode=mode, algorithm=algorithm)
    assert found == facts(database18, *tables, mode=mode, algorithm=algorithm)
    assert {label: fact.rows for label, fact in found.items()} == {
        "public.t": 1002,
        "public.empty": 0,
        "public.bare": 2,
    }
    assert found["public.empty"].hash == ("" if mode == "counts" else "0")


KINDS = {
    '"char"': "x", "name": "ü", "json": "[1.0]", "cidr": "10.0.0.0/8", "inet": "::1", "float4": "-0",
    "macaddr8": "08:00:2b:01:02:03:04:05", "money": "-1.25", "macaddr": "08:00:2b:01:02:03", "char(3)": "a",
    "time": "24:00", "timestamp": "4713-01-01 BC", "timestamptz": "infinity", "interval": "-1 mon 40 days 3 s",
    "timetz": "12:00+02", "bit(3)": "101", "varbit": "01", "numeric": "-1.20", "pg_lsn": "1/2", "bool": "f",
    "bytea": "\\x00", "int2": "-1", "int4": "-2147483648", "int8": "-9223372036854775808", "date": "0044-03-15 BC",
    "uuid": "ffffffff-0000-0000-0000-000000000001", "text": "ü", "varchar": "", "jsonb": "{}", "xid": "7",
    "int[]": "{1}", "float8": "1",
}  # fmt: skip


def test_every_built_in_kind_is_hashed_alike_by_two_versions(database15: str, database18: str) -> None:
    """Also every value and a null: no two of these rows have one hash."""
    names = tuple(f"c{n}" for n in range(len(KINDS)))
    columns = ", ".join(f"{name} {kind}" for name, kind in zip(names, KINDS, strict=True))
    tables = [table(f"t{n}", names) for n in range(len(KINDS) + 1)]
    for url in (database15, database18):
        rows = [
            f"INSERT INTO t{n} ({name}) VALUES ('{value}')"
            for n, (name, value) in enumerate(zip(names, KINDS.values(), strict=True))
        ]
        execute(url, *(f"CREATE TABLE {each.name} ({columns})" for each in tables), *rows)
        execute(url, f"INSERT INTO t{len(KINDS)} DEFAULT VALUES")
    found = facts(database15, *tables)
    assert found == facts(database18, *tables)
    assert len({fact.hash for fact in found.values()}) == len(tables)


def test_texts_have_one_hash_in_every_encoding(server15: Server) -> None:
    made = 'CREATE TABLE e (s text, v varchar, c char(4), n name, d jsonb, x text COLLATE "C")'
    row = "INSERT INTO e VALUES ('ü', 'é', 'ä', 'ö', '[\"ß\"]', 'ñ')"
    found = []
    for encoding in ("UTF8", "LATIN1"):
        with server15.database(f"ENCODING '{encoding}' LOCALE 'C'") as url:
            execute(f"{url}&client_encoding=UTF8", made, row)
            found.append(facts(url, table("e", ("s", "v", "c", "n", "d", "x"))))
    assert found[0] == found[1]


def test_a_collation_that_takes_letters_for_equal_does_not_decide(database15: str) -> None:
    execute(
        database15,
        "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
        "CREATE TABLE l (s text COLLATE loose)",
        "INSERT INTO l VALUES ('a')",
    )
    before = facts(database15, table("l", ("s",)))
    execute(database15, "UPDATE l SET s = 'A'")
    assert facts(database15, table("l", ("s",))) != before


CHANGES = {
    "one bit": "UPDATE t SET b = '\\x01ff' WHERE id = 500",
    "scale": "UPDATE t SET n = 750.000 WHERE id = 500",
    "sign of zero": "UPDATE t SET f = 0 WHERE id = -2",
    "last digit of a float": "UPDATE t SET f = f + 1e-13 WHERE id = 500",
    "blank": "UPDATE t SET s = s || ' ' WHERE id = 500",
    "null": "UPDATE t SET s = NULL WHERE id = 500",
    "empty string for null": "UPDATE t SET s = '' WHERE id = -1",
    "enum": "UPDATE t SET e = 'sad' WHERE id = 500",
    "row of nulls for null": "UPDATE t SET c = ROW(NULL::int, NULL::text)::public.pair WHERE id = -1",
    "dimensions": "UPDATE t SET a = ARRAY[[500, 2]] WHERE id = 500",
    "lower bound": "UPDATE t SET a = '[0:1]={500,2}' WHERE id = 500",
    "30 days for a month": "UPDATE t SET i = '32 days' WHERE id = 500",
    "high half of an integer": "UPDATE t SET id = id + (1::bigint << 32) + 1 WHERE id = 500",
    "netmask": "UPDATE t SET ip = '10.0.0.1/31' WHERE id = 500",
    "infinity": "UPDATE t SET d = 'infinity' WHERE id = 500",
    "row lost": "DELETE FROM t WHERE id = 500",
    "row moved in place of another": "UPDATE t SET s = 'é501' WHERE id = 500",
    "two rows exchange a value": "UPDATE t SET n = CASE id WHEN 1 THEN 3.00 ELSE 1.50 END WHERE id IN (1, 2)",
    "both halves of an instant": "UPDATE t SET ts = ts + interval '-4294.967295 s' WHERE id = 500",
    "sign of a numeric": "UPDATE t SET n = -n WHERE id = 500",
    "time zone": "UPDATE t SET ts = ts + interval '1 hour' WHERE id = 500",
}


@pytest.fixture(scope="module")
def original(server18_module: str) -> Iterator[tuple[Connection, dict[str, str]]]:
    with connect(server18_module) as connection:
        yield connection, _hashes(connection)


def _hashes(connection: Connection) -> dict[str, str]:
    algorithms = (RECORD_SEND, RECORD_HASH)
    return {each: table_facts(connection, [T], "full", each)["public.t"].hash for each in algorithms}


@pytest.fixture(scope="module")
def server18_module(request: pytest.FixtureRequest) -> Iterator[str]:
    with request.getfixturevalue("server18").database() as url:
        make(url)
        yield url


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_any_difference_is_seen(original: tuple[Connection, dict[str, str]], change: str) -> None:
    connection, before = original
    connection.execute("BEGIN")
    try:
        changed = connection.execute(
            change.replace(" t SET", " public.t SET").replace("FROM t", "FROM public.t").encode()
        )
        assert changed.rowcount >= 1
        for algorithm, found in _hashes(connection).items():
            # Joined hashes wrap around: even sums that see nothing differ by what was wrapped.
            assert (int(found) - int(before[algorithm])) % 2**64
    finally:
        connection.execute("ROLLBACK")


def test_a_repeated_row_is_seen(database18: str) -> None:
    execute(database18, "CREATE TABLE r AS SELECT x FROM generate_series(1, 10) x")
    before = facts(database18, table("r", ("x",)))["public.r"]
    execute(database18, "INSERT INTO r VALUES (5)", "DELETE FROM r WHERE x = 7")
    after = facts(database18, table("r", ("x",)))["public.r"]
    assert before.rows == after.rows
    assert before.hash != after.hash


def test_nan_is_one_value_whatever_its_bits(database18: str) -> None:
    """A NaN of another sign comes back from text as the usual one: that is not a difference."""
    execute(database18, "CREATE TABLE n (f float8)", "INSERT INTO n VALUES ('NaN')")
    usual = facts(database18, table("n", ("f",)))
    execute(database18, "UPDATE n SET f = 'inf'::float8 - 'inf'::float8")
    assert facts(database18, table("n", ("f",))) == usual


@pytest.mark.parametrize("key", ["id", "fixed", "none"])
def test_a_sample_is_the_same_rows_everywhere_and_counts_all(database18: str, key: str) -> None:
    kind = {"id": "int PRIMARY KEY", "fixed": "int", "none": "text"}[key]
    execute(
        database18,
        f"CREATE TABLE one (id {kind}, s text)",
        f"CREATE TABLE two (id {kind}, s text)",
        "INSERT INTO one SELECT x, 's' FROM generate_series(1, 20000) x",
        "INSERT INTO two SELECT * FROM one ORDER BY id DESC",
    )
    keys = ("id",) if key == "id" else ()
    found = facts(
        database18, table("one", ("id", "s"), keys), table("two", ("id", "s"), keys), mode="sampled"
    )
    assert found["public.one"] == found["public.two"]
    assert found["public.one"].rows == 20000
    with psycopg.connect(database18, autocommit=True) as connection:
        number = "hash_array_extended(ARRAY[id], 1)"
        row = connection.execute(f"SELECT count(*) FROM one WHERE {number} % 128 = 0".encode()).fetchone()
    assert row is not None
    assert 100 < row[0] < 220
    changed = "UPDATE two SET s = 't' WHERE " + (f"{number} % 128 = 0" if key == "id" else "true")
    execute(database18, changed)
    assert facts(database18, table("two", ("id", "s"), keys), mode="sampled") != {
        "public.two": found["public.two"]
    }


def test_a_table_of_1600_columns(database18: str) -> None:
    names = tuple(f"c{n}" for n in range(1600))
    execute(database18, f"CREATE TABLE wide ({', '.join(f'{name} bool' for name in names)})")
    execute(database18, "INSERT INTO wide DEFAULT VALUES", "INSERT INTO wide (c1599) VALUES (true)")
    assert facts(database18, table("wide", names))["public.wide"].rows == 2


def test_children_count_their_own_rows_only(database18: str) -> None:
    execute(database18, "CREATE TABLE p (a int)", "CREATE TABLE c () INHERITS (p)")
    execute(database18, "INSERT INTO c VALUES (1)", "INSERT INTO p VALUES (2)")
    found = facts(database18, table("p", ("a",)), table("c", ("a",)))
    assert [fact.rows for fact in found.values()] == [1, 1]


def test_what_the_server_lacks_has_no_fact_or_another_hash(database18: str) -> None:
    execute(database18, "CREATE TABLE half (a int, b int)", "INSERT INTO half VALUES (1, 2)")
    whole = facts(database18, table("half", ("a", "b")), table("absent", ("a",)))
    execute(database18, "ALTER TABLE half DROP COLUMN b")
    assert "public.absent" not in whole
    assert facts(database18, table("half", ("a", "b"))) != whole


def test_an_older_server_hashes_what_it_can() -> None:
    versions = {130022: RECORD_SEND, 140000: RECORD_HASH, 180001: RECORD_HASH}
    for number, algorithm in versions.items():
        connection = cast("Connection", SimpleNamespace(info=SimpleNamespace(server_version=number)))
        assert best_algorithm(connection) == algorithm


def test_an_unknown_algorithm_is_an_error(database18: str) -> None:
    with connect(database18) as connection, pytest.raises(SourceError, match="does not know"):
        table_facts(connection, [], "full", "record-send-2")


def test_the_session_of_the_user_does_not_matter(database18: str) -> None:
    make(database18)
    usual = facts(database18, T)
    name = database18.split("@/")[1].split("?")[0]
    execute(
        database18,
        f"ALTER DATABASE {name} SET DateStyle = 'German'",
        f"ALTER DATABASE {name} SET IntervalStyle = 'iso_8601'",
        f"ALTER DATABASE {name} SET extra_float_digits = -5",
        f"ALTER DATABASE {name} SET TimeZone = 'Asia/Tokyo'",
        f"ALTER DATABASE {name} SET bytea_output = 'escape'",
        f"ALTER DATABASE {name} SET client_encoding = 'LATIN1'",
        f"ALTER DATABASE {name} SET quote_all_identifiers = on",
    )
    assert facts(database18, T) == usual


def test_the_first_failure_ends_the_queries_of_the_other_connections(
    database18: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = [("slow", "SELECT 1, ''::text FROM pg_sleep(60)"), ("bad", "SELECT 1 / 0, ''::text")]
    monkeypatch.setattr(
        "backup_platform.sources.postgres.capture.table_facts._queries", lambda *arguments: queries
    )
    began = time.monotonic()
    with (
        connect(database18) as one,
        connect(database18) as other,
        pytest.raises(psycopg.errors.DivisionByZero),
    ):
        shared_table_facts([one, other], [], "full")
    assert time.monotonic() - began < 30


def test_a_query_that_begins_after_it_was_cancelled_is_cancelled_again(
    database18: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = [("slow", "SELECT 1, ''::text FROM pg_sleep(600)"), ("bad", "SELECT 1 / 0, ''::text")]
    monkeypatch.setattr(
        "backup_platform.sources.postgres.capture.table_facts._queries", lambda *arguments: queries
    )
    cancels: list[Sequence[Connection]] = []

    def too_early(connections: Sequence[Connection]) -> None:
        cancels.append(connections)
        if len(cancels) > 1:
            cancel(connections)

    cancel = backup_platform.sources.postgres.capture.table_facts._cancel
    monkeypatch.setattr("backup_platform.sources.postgres.capture.table_facts._cancel", too_early)
    with connect(database18) as one, connect(database18) as other, pytest.raises(psycopg.Error):
        shared_table_facts([one, other], [], "full")
    assert len(cancels) > 1


def test_several_connections_say_what_one_says(database18: str) -> None:
    make(database18)
    tables = (T, table("empty", ("a",)), table("bare", ()))
    with connect(database18) as one, connect(database18) as other:
        assert shared_table_facts([one, other], tables, "full") == table_facts(one, tables, "full")


# Of tables of one row with one value, as text: what earlier recovery points say of such tables.
HASHES = {
    "bool": ("true", -3339072135388799722, -3196055672531343982),
    '"char"': ("x", -3614005801226284800, -2955969125261410553),
    "name": ("x", -3614005801226284800, -2710810384461639406),
    "int8": ("5", 8447576884289676494, 8466894981902414965),
    "int2": ("5", 3430909908930417116, 1738793662707720279),
    "int4": ("5", 3430909908930417116, -5654850071702773444),
    "text": ("é", -3810730249566659592, -618774172900268444),
    "varchar(9)": ("é", -3810730249566659592, -759398373694766361),
    "char(9)": ("é", -5308680040377086902, 1649949380269472952),
    "bytea": ("\\x00ff", -468078215091493567, -7071892824067068185),
    "oid": ("5", 4250584461599811082, -1970460591440459328),
    "regclass": ("pg_class", 3968561047425738294, -8892862841200389309),
    "tid": ("(1,2)", 7363065466078160109, -1699263595222265502),
    "json": ('{"a": 1.0}', -5954025704658895755, -8949990510411691041),
    "jsonb": ('{"a": 1.0}', -5954025704658895755, -5598555336432087343),
    "jsonpath": ("$.a", 8919418347651472343, -1250768335520266161),
    "point": ("(1,2)", 7363065466078160109, -1699263595222265502),
    "polygon": ("((1,2),(3,4))", 1689621996777875147, -5220149554969623084),
    "numeric": ("1.50", -9074882303762734421, 5700755452447313103),
    "float4": ("0.1", 6993611650432449268, -8093803637393887572),
    "float8": ("-0", 5473575060980573419, 6256466003995208414),
    "money": ("1.25", 5763059997173225569, -630122688466508096),
    "inet": ("10.0.0.1/8", 6454789652793757181, 2546858172121452773),
    "cidr": ("10.0.0.0/8", -406523029179342264, -7377008903906334760),
    "macaddr": ("08:00:2b:01:02:03", -6055453235314782898, -5551392481311458576),
    "bit(3)": ("101", 8468606409997784023, -1091688987467129299),
    "varbit": ("101", 8468606409997784023, -375976788062273455),
    "uuid": ("00000000-0000-0000-0000-000000000001", -4693340342050316329, -8552188935808937897),
    "date": ("-infinity", 5238169035734435564, 867786559364326559),
    "time": ("04:05:06.7", 8519957758270882037, -6756902194256526648),
    "timetz": ("04:05:06.7+02", 1611835216466797737, 2777709622276983545),
    "timestamp": ("2020-01-01", -7093454259057474462, -6509119715326962578),
    "timestamptz": ("2020-01-01", -7093454259057474462, 3501464164475813145),
    "interval": ("1 mon 2 days", -5874103514813994808, -4311757119036620627),
    "tsvector": ("'a':1", -1402624657759252355, -4216515530192235547),
    "tsquery": ("'a' & 'b'", -7618727579341934943, -2099223497559886084),
    "pg_lsn": ("1/2", -2359462968182131894, 7043076610728303984),
    "int4range": ("[1,2)", 9029348643551367097, 6861066763013225798),
    "nummultirange": ("{[1,2)}", -7480668804779544871, -7039877117487416424),
    "text[]": ('{a,NULL,"b c"}', 7531257709237568179, 7101176683429116077),
    "int4[]": ("[0:1][1:1]={{1},{2}}", -7682654580053066815, -3285397250655625885),
    "timestamptz[]": ("{2020-01-01}", 3341919916446212981, -3851834762215123036),
    "information_schema.yes_or_no": ("YES", -9198930972500023956, 6737750069990457367),
    "mood": ("sad", -8636797527398956600, 9080728735255904431),
    "mood[]": ("{sad,glad}", -5876956801194817966, 4711126358792130734),
    "pair": ("(1,x)", 995363778143239076, 835558776487944786),
    "padded": ("ab", -5558036317715594668, 358613253422999847),
    "citext": ("Ab", -8429042983735471749, 1245215911008777612),
}


def test_no_hash_is_another_one_than_it_was(database15: str) -> None:
    """A drill compares with what the source's server said when the point was made, by whatever version of this."""
    names = {f"t{number}": kind for number, kind in enumerate(HASHES)}
    made = [f"CREATE TABLE {name} (v {kind})" for name, kind in names.items()]
    filled = [f"INSERT INTO {name} VALUES ({quoted(HASHES[kind][0])})" for name, kind in names.items()]
    execute(database15, "CREATE SCHEMA IF NOT EXISTS public", "CREATE EXTENSION citext", MAKE, *made, *filled)
    tables = [table(name, ("v",)) for name in names]
    hashed, sent = (facts(database15, *tables, algorithm=each) for each in (RECORD_HASH, RECORD_SEND))
    found = {
        kind: (HASHES[kind][0], int(hashed[f"public.{name}"].hash), int(sent[f"public.{name}"].hash))
        for name, kind in names.items()
    }
    assert found == HASHES


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@pytest.mark.parametrize("kind", ["mood", "mood[]", "pair", "padded"])
def test_a_cast_that_is_made_in_between_is_not_called(
    database18: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner of a type makes its casts, at any time: what they call runs as the role that backs up."""
    make(database18, f"CREATE TABLE seen AS SELECT NULL::{kind} AS v", "INSERT INTO seen SELECT NULL")
    value = {"mood": "glad", "mood[]": "{glad}", "pair": "(1,x)", "padded": "ab"}[kind]
    execute(database18, f"UPDATE seen SET v = {quoted(value)}")
    before = facts(database18, table("seen", ("v",)))
    module = backup_platform.sources.postgres.capture.table_facts
    asked = module._queries

    def attacked(*given: Any) -> list[tuple[str, str]]:
        found = asked(*given)
        body = "BEGIN RAISE EXCEPTION 'PWNED as %', current_user; END"
        execute(
            database18,
            f"CREATE FUNCTION evil({kind}) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $f$ {body} $f$",
            f"CREATE CAST ({kind} AS text) WITH FUNCTION evil({kind}) AS IMPLICIT",
        )
        return found

    monkeypatch.setattr(module, "_queries", attacked)
    assert facts(database18, table("seen", ("v",))) == before
