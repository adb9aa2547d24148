"""Kinds of sources: found by name, loaded when they are named, and nothing of theirs is known elsewhere."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import backup_platform
from backup_platform.clock import SystemClock
from backup_platform.domain.ports import Source
from backup_platform.domain.restoring import DatabaseTarget
from backup_platform.errors import PlanError, UsageError
from backup_platform.kinds import registry
from backup_platform.kinds.config import KindConfig
from backup_platform.kinds.kind import ServerRestore, SourceContext, SourceKind
from backup_platform.plan import Plan
from backup_platform.plan.values import LocalPath
from backup_platform.sources.postgres.options import PostgresOptions
from backup_platform.sources.postgres.source import PostgresSource
from backup_platform.wiring import as_database
from backup_platform_tests.test_plan import HEAD, load, problems, source_problems

PACKAGE = Path(backup_platform.__file__).parent
SOURCES = PACKAGE / "sources"
EVERY_KIND = HEAD + (
    "  a: {files: /a, every: day}\n  b: {sqlite: /b, every: day}\n"
    '  c: {postgres: "postgresql://db/shop", every: day}\n'
)


class NotesConfig(KindConfig):
    notes: LocalPath
    exclude: int = 3


class GreedyConfig(KindConfig):
    greedy: str
    keep: int = 3


def _no_source(config: KindConfig, context: SourceContext) -> Source:
    raise NotImplementedError


NOTES = SourceKind("notes", "notes", NotesConfig, _no_source, local=True)
GREEDY = SourceKind("greedy", "greedy", GreedyConfig, _no_source)
Register = Callable[..., None]


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Iterator[Register]:
    """Let entry points be there: pairs of a name and what it leads to in this module."""

    def fill(*pairs: tuple[str, str]) -> None:
        found = [EntryPoint(name, f"{__name__}:{target}", registry.GROUP) for name, target in pairs]
        monkeypatch.setattr(registry, "entry_points", lambda group: found)
        registry.forget()

    yield fill
    monkeypatch.undo()
    registry.forget()


def test_a_kind_is_a_folder() -> None:
    folders = {path.parent.name for path in SOURCES.glob("*/kind.py")}
    assert set(registry.built_in()) == folders >= {"command", "files", "sqlite", "postgres"}
    for name, kind in registry.every().items():
        assert kind.name == name
        assert kind.title
        assert kind.config.model_fields[name].is_required()
        assert [key for key, each in kind.config.model_fields.items() if each.is_required()] == [name]


# Names that are usual words, too. As a kind they are compared, looked up or imported.
WORDS = {"files", "command"}
# (file, why it may name a kind)
ALLOWED = {
    "plan/examples.py": "an example of a plan, which has to protect something",
    "orchestration/scaffolder.py": "writes an example of a plan",
    "orchestration/view/batches.py": "names a class of Dagster, which keeps its events in SQLite",
    "repository/rescue.py": "stands alone, and keeps its places in a database of its own",
    "repository/rescue_tables.py": "stands alone, and writes for psql",
}


def texts_of(tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Identifiers and strings, docstrings left out: those are documentation."""
    prose = {
        node.body[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in prose:
            yield node, node.value
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield node, getattr(node, "module", None) or ""
            yield from ((node, each.name) for each in node.names)
        else:
            names = (getattr(node, field, None) for field in ("id", "attr", "arg", "name"))
            yield from ((node, name) for name in names if isinstance(name, str))


def compared(tree: ast.AST) -> set[ast.AST]:
    """What is compared, matched, or listed beside other values."""
    found: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            found |= {node.left, *node.comparators}
        elif isinstance(node, ast.Set | ast.List | ast.Tuple):
            found |= set(node.elts)
        elif isinstance(node, ast.MatchValue):
            found.add(node.value)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "hasattr", "registry.find"):
            found |= set(node.args)
    return found


def kinds_named_in(code: str, names: Iterable[str], *, of_a_kind: bool = False) -> set[str]:
    """The kinds of sources that a module knows. In one that is itself of a kind, a word is a word."""
    wanted = [name for name in names if name in code.lower()]
    if not wanted:
        return set()
    tree, found = ast.parse(code), set()
    listed = set() if of_a_kind else compared(tree)
    for node, text in texts_of(tree):
        for name in (name for name in wanted if name in text.lower()):
            imported = re.search(rf"\bsources(\.|$).*\b{name}\b", text) or text == f"sources.{name}"
            key = re.search(rf"\b{name}: ?[/\w]", text)
            value = text == name and node in listed and isinstance(node, ast.Constant)
            if name not in WORDS or imported or key or value:
                found.add(name)
    return found


def test_nobody_outside_a_kind_s_folder_names_it() -> None:
    """So a new kind touches its folder only. What is true of some kinds is an attribute of `SourceKind`."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        place = path.relative_to(PACKAGE).as_posix()
        own = path.relative_to(SOURCES).parts[0] if path.is_relative_to(SOURCES) else ""
        others = set(registry.built_in()) - {own}
        if named := kinds_named_in(path.read_text(), others, of_a_kind=bool(own)):
            found[place] = named
    assert {place: named for place, named in found.items() if place not in ALLOWED} == {}
    assert found.keys() >= ALLOWED.keys(), "what needs no permission has none"


@pytest.mark.parametrize(
    ("code", "named"),
    [
        ('if point.kind == "files": ...', {"files"}),
        ('x = kind in ("tables", "files")', {"files"}),
        ("match kind:\n    case 'files': ...", {"files"}),
        ('getattr(source, "files")', {"files"}),
        ('raise PlanError("write `files: /srv`")', {"files"}),
        ("from backup_platform.sources.files.walk import Walk", {"files"}),
        ("from backup_platform.sources import files", set()),
        ('KINDS = {"postgres": 1}', {"postgres"}),
        ("def _postgres(): ...", {"postgres"}),
        ("import_postgresql(x)", {"postgres"}),
        ("x = plan.sqlite", {"sqlite"}),
        ('def f():\n    """Of postgres."""', set()),
        ('counts = {"files": stats.files}; print("3 files")', set()),
    ],
)
def test_what_names_a_kind_is_recognised(code: str, named: set[str]) -> None:
    assert kinds_named_in(code, ("files", "postgres", "sqlite")) == named


def test_only_what_is_for_tests_needs_pytest() -> None:
    users = {
        path.relative_to(PACKAGE).parts[0]
        for path in PACKAGE.rglob("*.py")
        if re.search(r"^\s*(import|from) pytest", path.read_text(), re.MULTILINE)
    }
    assert users == {"testing"}


def test_no_entry_point_is_read_where_kinds_of_this_package_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(group: str) -> None:
        raise AssertionError("read")

    monkeypatch.setattr(registry, "entry_points", refuse)
    registry.forget()
    assert [source.kind for source in load(tmp_path, EVERY_KIND).sources.values()] == [
        "files",
        "sqlite",
        "postgres",
    ]
    with pytest.raises(AssertionError, match="read"):
        load(tmp_path, HEAD + "  a: {notes: /a, every: day}\n")
    monkeypatch.undo()
    registry.forget()


LOADED_BY = """
import json, sys
from backup_platform.plan import Plan
plan = Plan.load(sys.argv[1])
print(json.dumps(sorted(name for name in sys.modules if name.startswith("backup_platform.sources."))))
"""


def test_a_plan_loads_the_kinds_that_it_names_and_of_them_only_what_describes_them(tmp_path: Path) -> None:
    path = tmp_path / "backup.yaml"
    path.write_text(HEAD + "  a: {sqlite: /b, every: day}\n")
    command = [sys.executable, "-c", LOADED_BY, os.fspath(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [
        "backup_platform.sources.sqlite",
        "backup_platform.sources.sqlite.kind",
    ]


class TestOfOthers:
    def test_it_is_one_like_those_of_this_package(self, tmp_path: Path, register: Register) -> None:
        register(("notes", "NOTES"))
        plan = load(tmp_path, HEAD + "  a: {notes: n, every: day, exclude: 5}\n")
        source = plan.sources["a"]
        assert (source.kind, source.location, source.source_kind) == ("notes", str(tmp_path / "n"), NOTES)
        shown = plan.model_dump(mode="json", exclude_unset=True)
        assert shown["sources"]["a"] == {"notes": str(tmp_path / "n"), "exclude": 5, "every": "day"}
        assert Plan.from_mapping(shown, base=str(tmp_path)) == plan

    def test_messages_know_it(self, tmp_path: Path, register: Register) -> None:
        register(("notes", "NOTES"))
        assert source_problems(tmp_path, "every: day")[0].endswith(
            "has neither `command`, `files`, `postgres`, `sqlite` nor `notes`: "
            "name what to protect, as in `files: /srv/uploads`"
        )
        assert source_problems(tmp_path, "notes: /a, files: /b, every: day") == [
            "3: sources.shop: has both `files` and `notes`: give one of them"
        ]
        assert source_problems(tmp_path, "notes: /a, every: day, exclude: x, jobs: 3") == [
            "3: sources.shop: `jobs` belongs to sources with `postgres`, not with `notes`",
            "3: sources.shop.exclude: input should be a valid integer, unable to parse string as an integer",
        ]

    def test_of_one_that_cannot_be_loaded_only_its_users_are_told(
        self, tmp_path: Path, register: Register
    ) -> None:
        register(("notes", "GONE"))
        with pytest.raises(PlanError, match=r"'notes' of .* cannot be loaded: AttributeError"):
            load(tmp_path, HEAD + "  a: {notes: n, every: day}\n")
        assert "nor `sqlite`" in source_problems(tmp_path, "every: day")[0]
        assert not registry.described("notes").tables

    def test_one_that_is_something_else_is_refused(self, tmp_path: Path, register: Register) -> None:
        register(("other", "NOTES"))
        with pytest.raises(PlanError, match="is not a SourceKind with that name"):
            load(tmp_path, HEAD + "  a: {other: n, every: day}\n")

    def test_two_of_one_name_are_refused(self, tmp_path: Path, register: Register) -> None:
        register(("notes", "NOTES"), ("notes", "GREEDY"))
        with pytest.raises(PlanError, match="both bring a kind of source 'notes'"):
            load(tmp_path, HEAD + "  a: {notes: n, every: day}\n")

    def test_none_takes_the_place_of_one_of_this_package(self, tmp_path: Path, register: Register) -> None:
        register(("files", "NOTES"))
        assert load(tmp_path, HEAD + "  a: {files: n, every: day}\n").sources["a"].source_kind is not NOTES

    def test_none_takes_a_key_that_all_sources_have(self, tmp_path: Path, register: Register) -> None:
        register(("greedy", "GREEDY"))
        with pytest.raises(PlanError, match="cannot have the key `keep`"):
            load(tmp_path, HEAD + "  a: {greedy: n, every: day}\n")


NO_CADENCE = '"dya" is not one of 15min, 30min, hour, 6h, 12h, day, week, month; did you mean "day"?'


class TestMessages:
    """All that is wrong with a source is told at once, whether or not its kind is known."""

    def test_without_a_kind(self, tmp_path: Path) -> None:
        found = problems(
            tmp_path, HEAD + "  a:\n    fils: /srv\n    every: dya\n    exclude: x\n    jbs: 2\n"
        )
        assert found[0].startswith("3: sources.a: has neither `command`, `files`, `postgres` nor `sqlite`")
        assert found[1:] == [
            '4: sources.a: unknown key "fils"; did you mean "files"?',
            f"5: sources.a.every: {NO_CADENCE}",
            '7: sources.a: unknown key "jbs"; did you mean "jobs"?',
        ]

    def test_a_kind_that_is_not_installed(self, tmp_path: Path) -> None:
        told = source_problems(tmp_path, "notes: /a, every: day")
        assert told[1] == (
            '3: sources.shop: unknown key "notes"; if it is a kind of source, install the distribution that adds it'
        )

    def test_with_one(self, tmp_path: Path) -> None:
        found = problems(
            tmp_path,
            HEAD + "  a:\n    files: /srv\n    every: dya\n    jobs: 2\n    exclud: [x]\n    retries: -1\n",
        )
        assert found == [
            f"5: sources.a.every: {NO_CADENCE}",
            "6: sources.a: `jobs` belongs to sources with `postgres`, not with `files`",
            '7: sources.a: unknown key "exclud"; did you mean "exclude"?',
            "8: sources.a.retries: must be at least 0",
        ]

    def test_with_two(self, tmp_path: Path) -> None:
        found = problems(
            tmp_path, HEAD + "  a:\n    files: /srv\n    sqlite: x\n    retries: -1\n    lock_timeout: 1s\n"
        )
        assert found == [
            "3: sources.a: has neither `every` nor `cron`: say how often, as in `every: day`",
            "5: sources.a: has both `files` and `sqlite`: give one of them",
            "6: sources.a.retries: must be at least 0",
        ]


class TestServerRestore:
    """Options of a restore into a server that the kind does not heed are refused, not forgotten."""

    def source(self) -> Source:
        return PostgresSource("shop", PostgresOptions("host=h"), SystemClock())

    def test_one_that_is_heeded(self) -> None:
        target = DatabaseTarget("x", schemas=("a",), create=True, jobs=4, owner=False)
        assert as_database(self.source(), target).name == "shop"

    def test_one_that_is_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        kind = replace(registry.described("postgres"), server=ServerRestore("x", ("create", "jobs")))
        monkeypatch.setattr(registry, "described", lambda name: kind)
        as_database(self.source(), DatabaseTarget("x", create=True, jobs=4))
        with pytest.raises(UsageError, match="`schemas`: sources with `postgres` do not have it"):
            as_database(self.source(), DatabaseTarget("x", create=True, schemas=("a",)))

    def test_a_kind_that_no_server_takes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        kind = replace(registry.described("postgres"), server=None)
        monkeypatch.setattr(registry, "described", lambda name: kind)
        with pytest.raises(UsageError, match="cannot be restored into a server"):
            as_database(self.source(), DatabaseTarget("x"))
