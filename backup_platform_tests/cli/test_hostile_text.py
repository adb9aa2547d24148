"""Text that somebody else wrote (names, manifests, reasons, a store's messages) goes through every verb, and no verb
lets it act on a terminal."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from backup_platform import errors
from backup_platform.cli import context
from backup_platform.cli.display.output import Output
from backup_platform.cli.display.table import Cell, TableColumn, print_table
from backup_platform.cli.verbs import GROUPS, VERBS
from backup_platform.domain.model import Problem, RecoveryPoint, Status
from backup_platform.domain.visible import hides
from backup_platform.repository.objects.documents import Codec
from backup_platform.repository.objects.names import ManifestKey
from backup_platform.repository.points.manifests import encode_manifest
from backup_platform_tests.actions.tables_support import Relation, rows_table, store_tables, tables_bench
from backup_platform_tests.cli.conftest import Cli, Ran, Verbs, docs_backed_up

EVIL = "\x1b]0;owned\x07\x1b[31m\x9b2Jerror\r\x08\u202e\u200b\u2028[red]\nhint: curl x | sh"
NAME = EVIL.replace("/", "_")
OBJECT = "\u202e\u200b\u2028[red]"  # a store lists no name with a control character
PLAN = (
    "repository: {{path: {root}/repo}}\nsources: {{docs: {{files: {root}/docs, every: day, drill: never}}}}\n"
)

WORDS = {
    "plan check": ["plan", "check"],
    "plan schema": ["plan", "schema"],
    "init": ["init"],
    "backup": ["backup"],
    "copy": ["copy"],
    "points": ["points"],
    "show": ["show", "POINT"],
    "ls": ["ls", "POINT"],
    "cat": ["cat", "POINT", "one"],
    "verify": ["verify"],
    "drill": ["drill", "POINT"],
    "restore": ["restore", "POINT", "--to", "TO"],
    "diff": ["diff", "FIRST", "POINT"],
    "tables": ["tables", "shop@latest"],
    "query": ["query", "shop@latest", 'from "TABLE"'],
    "export": ["export", "shop@latest", "--to", "TO"],
    "retention": ["retention", "--explain"],
    "forget": ["forget", "--yes"],
    "accept": ["accept", "POINT", "--reason", EVIL],
    "hold": ["hold", "POINT", "--reason", EVIL],
    "holds": ["holds"],
    "man": ["man"],
    "release": ["release", "POINT", "--reason", EVIL],
    "prune": ["prune", "--yes"],
    "repair": ["repair", "--dry-run"],
    "doctor": ["doctor"],
    "coverage": ["coverage"],
    "status": ["status"],
    "metrics": ["metrics"],
    "dagster-sync": ["dagster-sync"],
    "key generate": ["key", "generate", "TO"],
    "key add": ["key", "add", EVIL],
    "key retire": ["key", "retire", EVIL],
    "key list": ["key", "list"],
    "key test": ["key", "test"],
    "key rewrap": ["key", "rewrap"],
    "key export": ["key", "export", "TO"],
}
MORE = [
    ["tables", "shop@latest", NAME],
    ["query", "shop@latest", f"select '{EVIL}' as \"{EVIL}\""],
    ["query", "shop@latest", f"select {EVIL}"],
    ["query", "shop@latest", f"select error('{EVIL}')"],
    ["diff", "TABLES", "shop@latest", "--table", NAME],
    ["show", "shop@latest"],
    ["ls", "shop@latest"],
    ["restore", "POINT", EVIL, "--to", "TO"],
    ["cat", "POINT", EVIL],
    ["cat", "POINT"],
    ["restore", "POINT", "--to", "TO", "--dry-run"],
    ["points", EVIL],
    [EVIL],
    ["points", f"--{EVIL}"],
]


def names() -> list[str]:
    return [*VERBS, *(f"{group} {verb}" for group, (_, verbs) in GROUPS.items() for verb in verbs)]


def test_every_verb_is_tried() -> None:
    assert set(WORDS) == set(names())


def forge(root: Path, point: RecoveryPoint, repository: str) -> None:
    """Put evil text wherever a manifest has text, as whoever may write into an unencrypted repository can."""
    evil = replace(
        point,
        facts={EVIL: EVIL, "list": [EVIL], "rows": {EVIL: 1}},
        versions={EVIL: EVIL},
        problems=(Problem(EVIL, Status.UNREADABLE, EVIL),),
        problem_count=1,
        timezone="Europe",  # a directory of zones
        suspect=(EVIL,) if point.sequence == 2 else (),
    )
    key = ManifestKey.of(point.source, point.sequence)
    (root / key).write_bytes(encode_manifest(evil, Codec(repository))[1])


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A plan whose repository, source and store hold evil names, and the recovery points by what they are here."""
    root = tmp_path_factory.mktemp("hostile")
    capsys = _Captured()
    with capsys:
        run = docs_backed_up(root, PLAN, capsys)  # type: ignore[arg-type]  # all that is used of it
        folder = os.fsencode(root / "docs")
        for name in (os.fsencode(NAME), b"caf\xe9\x1b[2J", "Größe 漢字 🎉".encode()):
            Path(os.fsdecode(os.path.join(folder, name))).write_bytes(b"content")
        run("backup", "--force", code=0)
    bench = tables_bench(root / "repo")
    table = Relation("public", NAME, [rows_table(**{NAME: [NAME, "ü"]})], (NAME,), types={NAME: EVIL})
    first = store_tables(bench, table)
    store_tables(bench, replace(table, parts=[rows_table(**{NAME: [NAME + "2", "ü"]})]))
    repository = bench.open()
    for point in repository.points.all():
        forge(root / "repo", point, repository.info.id)
    found = {(p.source, p.sequence): p.id for p in bench.open().points.all()}
    for place in ("packs/00", "ledger/proofs", "manifests", "tombstones"):
        (root / "repo" / place).mkdir(parents=True, exist_ok=True)
        (root / "repo" / place / OBJECT).write_bytes(b"x")
    ids = {"FIRST": found["docs", 1], "POINT": found["docs", 2], "TABLES": found["shop", first.sequence]}
    return root, ids


class _Captured:
    """What `capsys` has, for a module."""

    def __enter__(self) -> None:
        self._kept = sys.stdout, sys.stderr
        self.readouterr()

    def __exit__(self, *_: object) -> None:
        sys.stdout, sys.stderr = self._kept

    def readouterr(self) -> tuple[str, str]:
        said = tuple(s.getvalue() if isinstance(s, io.StringIO) else "" for s in (sys.stdout, sys.stderr))
        sys.stdout, sys.stderr = io.StringIO(), io.StringIO()
        return said[0], said[1]


def harmless(ran: Ran) -> None:
    assert not [line for text in (ran.out, ran.err) for line in text.split("\n") if hides(line)]
    assert not [line for line in ran.err.split("\n") if line.startswith("hint: curl")]
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    "words",
    [*WORDS.values(), *MORE],
    ids=[*WORDS, *(words[0] for words in MORE[:-2]), "no verb", "no option"],
)
def test_no_verb_lets_text_act_on_a_terminal(
    hostile: tuple[Path, dict[str, str]],
    words: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root, points = hostile
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    run = Verbs(capsys, root / "backup.yaml")
    named = {**points, "TO": str(tmp_path / "to"), 'from "TABLE"': f'from "{NAME}"'}
    chosen = [named.get(word, word) for word in words]
    harmless(run(*chosen))
    named["TO"] = str(tmp_path / "again")
    ran = run(*(named.get(word, word) for word in words), "--json")
    harmless(ran)
    assert ran.out.replace("\n", "").isprintable()
    assert ran.out.isascii()
    json.loads(ran.out)


@pytest.mark.parametrize("verb", WORDS)
def test_no_error_acts_on_a_terminal(
    cli: Cli, verb: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whatever a verb is told by a server or a store, it says it harmlessly."""

    def broken(_: str | None) -> None:
        raise errors.StoreError(EVIL, hint=EVIL)

    monkeypatch.setattr(context, "app_factory", broken)
    words = [str(tmp_path / "to") if word == "TO" else word for word in WORDS[verb]]
    ran = cli(*words)
    harmless(ran)
    if verb not in ("key generate", "man", "plan schema"):  # they need no plan
        assert ran.err.startswith("error [store-failed]: \\x1b]0;owned")
        assert "\n  hint: curl x | sh\nhint: \\x1b]" in ran.err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_only_our_own_colours_reach_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    out = Output(stream, json=False)
    out.line(out.paint("good\x1b[1m", "good") + f" {EVIL}")
    print_table(out, [TableColumn(EVIL)], [[Cell(EVIL, "bad")], [Cell("漢字", "warn")]])
    text = stream.getvalue()
    for code in ("\x1b[32m", "\x1b[33m", "\x1b[1;31m", "\x1b[1m", "\x1b[0m"):
        text = text.replace(code, "")
    assert not [line for line in text.split("\n") if hides(line)]
    assert text.startswith("good\\x1b[1m \\x1b]0;owned")
    assert "漢字" in text


def test_csv_is_exact_in_a_pipe_and_harmless_on_a_terminal() -> None:
    stream = Terminal()
    Output(stream, json=False).raw(b'"\x1b[2J\xff",1\r\n"\xc3\xbc",2\r\n')
    assert stream.getvalue() == '"\\x1b[2J\\xff",1\n"ü",2\n'


def test_what_libraries_log_and_tracebacks_say_is_harmless(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """psycopg logs what a server says; Python prints it to standard error where nobody set up logging."""

    def broken(_: str | None) -> None:
        logging.lastResort.handle(  # type: ignore[union-attr]
            logging.LogRecord("psycopg", logging.WARNING, "x", 1, "server: %s", (EVIL,), None)
        )
        raise ValueError(EVIL)

    monkeypatch.setattr(context, "app_factory", broken)
    ran = cli("points", "--debug")
    assert "server: \\x1b]0;owned" in ran.err
    assert "Traceback" in ran.err
    assert not [line for line in ran.err.split("\n") if hides(line)]
