"""Databases in every encoding of the server: exact, or incomplete or an error that says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from backup_platform.errors import SourceFormatError
from backup_platform.sources.postgres.options import PostgresOptions
from backup_platform_tests.sources.postgres.fidelity_database import dump, new_database
from backup_platform_tests.sources.postgres.normalise import differences
from backup_platform_tests.sources.postgres.point_bench import PointBench
from backup_platform_tests.sources.postgres.servers import Server, execute, fetch_value

LATIN, CYRILLIC, JAPANESE = "äöü ß é ñ", "Привет", "日本語 カタカナ ひらがな"
WORDS = {
    "LATIN1": LATIN,
    "LATIN9": LATIN + " €œ",
    "WIN1252": LATIN + " €œ„“",
    "KOI8R": CYRILLIC + " ─║",
    "EUC_JP": JAPANESE,
    "EUC_KR": "한국어 조선말",
    "EUC_CN": "简体中文",
    "UTF8": JAPANESE + LATIN + CYRILLIC + "😀",
}
ALSO = {
    "LATIN2": "čšžł",
    "LATIN3": "ĉĝĥ",
    "LATIN4": "āēģ",
    "LATIN5": "ğış",
    "LATIN6": "āēŋ",
    "LATIN7": "ąčęėį",
    "LATIN8": "ŵŷẁ",
    "LATIN10": "șță",
    "ISO_8859_5": CYRILLIC,
    "ISO_8859_6": "العربية",
    "ISO_8859_7": "Ελληνικά",
    "ISO_8859_8": "עברית",
    "KOI8U": CYRILLIC + "їєґ",
    "WIN866": CYRILLIC,
    "WIN874": "ไทย",
    "WIN1250": "čšžł",
    "WIN1251": CYRILLIC,
    "WIN1253": "Ελληνικά",
    "WIN1254": "ğış",
    "WIN1255": "עברית",
    "WIN1256": "العربية",
    "WIN1257": "ąčęėį",
    "WIN1258": "äöüơư",
    "EUC_TW": "繁體中文",
    "EUC_JIS_2004": JAPANESE,
}
SOME = ("LATIN9", "KOI8R", "EUC_JP", "UTF8")  # of each kind one; the soak run takes all
ONE_BYTE = {name for name in (*WORDS, *ALSO) if not name.startswith(("EUC", "UTF"))}


@pytest.mark.parametrize("encoding", SOME)
def test_an_encoding_comes_back(server15: Server, tmp_path: Path, encoding: str) -> None:
    comes_back(server15, tmp_path, encoding, WORDS[encoding])


@pytest.mark.soak
@pytest.mark.parametrize("encoding", [*WORDS, *ALSO])
def test_every_encoding_comes_back(server: Server, tmp_path: Path, encoding: str) -> None:
    comes_back(server, tmp_path, encoding, (WORDS | ALSO)[encoding])


def comes_back(server: Server, tmp_path: Path, encoding: str, words: str) -> None:
    options = f"ENCODING '{encoding}' LOCALE 'C'"
    with new_database(server, options) as original, new_database(server, options) as restored:
        fill(original, encoding, words)
        made = PointBench(tmp_path / "repository", PostgresOptions(original, bin_dir=server.bin_dir))
        point = made.backup()
        made.restore(point, restored)
        utf8 = "--encoding=UTF8"
        expected = dump(server, original, tmp_path / "original.sql", utf8)
        assert any(words in line for line in expected)
        assert differences(expected, dump(server, restored, tmp_path / "restored.sql", utf8)) == []
        own = (
            "SELECT pg_char_to_encoding('{}') = encoding FROM pg_database WHERE datname = current_database()"
        )
        assert fetch_value(restored, own.format(encoding))


DRILLED = ["KOI8R", *(pytest.param(name, marks=pytest.mark.soak) for name in ("EUC_JP", *ALSO))]


@pytest.mark.parametrize("encoding", DRILLED)
def test_an_encoding_passes_its_drill(server15: Server, tmp_path: Path, encoding: str) -> None:
    with new_database(server15, f"ENCODING '{encoding}' LOCALE 'C'") as url:
        fill(url, encoding, (WORDS | ALSO)[encoding])
        made = PointBench(tmp_path / "repository", PostgresOptions(url, bin_dir=server15.bin_dir))
        assert made.drill(made.backup()).report.differences == ()


def fill(url: str, encoding: str, words: str) -> None:
    """Words in data, as text and in an array, and in names, comments and functions; each byte that is a character."""
    with psycopg.connect(url, autocommit=True, client_encoding="utf8") as connection:

        def run(statement: str, *values: Any) -> None:
            connection.execute(statement.encode(), values or None)

        run(f'CREATE TABLE "{words}" (id int PRIMARY KEY, "{words}" text, a text[], c char(40), n name)')
        run(f'INSERT INTO "{words}" VALUES (1, %s, %s, %s, %s)', words, [words, None], words, words)
        run(f"COMMENT ON TABLE \"{words}\" IS 'of {words}'")
        run(f"CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$ SELECT '{words}'::text $$")
        run(f"CREATE TYPE kind AS ENUM ('{words[:8]}')")
        run(f"CREATE TABLE kinds AS SELECT '{words[:8]}'::kind AS k, f() AS f")
        run("CREATE TABLE each (i int, t text)")
        for byte in range(1, 256) if encoding in ONE_BYTE else ():
            try:
                run(
                    f"INSERT INTO each SELECT {byte}, chr({byte}) WHERE convert_to(chr({byte}), 'UTF8') <> ''"
                )
            except (psycopg.errors.UntranslatableCharacter, psycopg.errors.CharacterNotInRepertoire):
                continue


def test_a_byte_without_a_character_costs_its_table(server15: Server, tmp_path: Path) -> None:
    with new_database(server15, "ENCODING 'WIN1252' LOCALE 'C'") as url:
        execute(url, "CREATE TABLE t AS SELECT chr(129) AS v", "CREATE TABLE good AS SELECT 1 AS x")
        made = PointBench(tmp_path / "repository", PostgresOptions(url, bin_dir=server15.bin_dir))
        point = made.backup()
        assert point.incomplete
        (problem,) = point.problems
        assert problem.path == "public.t"
        assert "encoding" in problem.detail
        assert made.drill(point).report.differences == ()


def test_no_encoding_with_utf_8_comes_back(server15: Server, tmp_path: Path) -> None:
    comes_back(server15, tmp_path, "SQL_ASCII", "äöü 日本")


def test_an_encoding_without_a_way_to_utf_8_fails(server15: Server, tmp_path: Path) -> None:
    with server15.database("ENCODING 'MULE_INTERNAL' LOCALE 'C'") as url:
        refuses(server15, tmp_path, url, "SELECT 'plain'")


def refuses(server: Server, tmp_path: Path, url: str, value: str) -> None:
    with psycopg.connect(url, autocommit=True, client_encoding="sql_ascii") as connection:
        connection.execute(f"CREATE TABLE t AS SELECT 1 AS id, x::text AS v FROM ({value}) s(x)".encode())
    made = PointBench(tmp_path / "repository", PostgresOptions(url, bin_dir=server.bin_dir))
    with pytest.raises(SourceFormatError) as caught:
        made.backup()
    assert "encoding" in caught.value.message
    assert not caught.value.retryable
    assert made.points() == []
