"""Nobody decides by what an error says: what a handler needs is a class or an attribute, set where it is known."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import backup_platform

PACKAGE = Path(backup_platform.__file__).parent
EDGES = ("cli/", "orchestration/")  # they show texts, and disarm those of a whole chain of causes
OF_OTHERS = ("sources/", "stores/")  # adapters: may read `said`, the words of the other side
# Exceptions of other libraries that have nothing but their text, each in the adapter of that library.
WORDS_OF_LIBRARIES = {
    "actions/query/engine.py": "DuckDB: its exceptions have no codes",
    "sources/postgres/connect/poolers.py": "psycopg: a refused connection has no SQLSTATE, and poolers have none",
    "sources/postgres/restore/grants.py": "psycopg: which role is missing is said in the message alone",
    "sources/sqlite/facts.py": "sqlite3: which collation is missing is said in the message alone",
    "stores/object_store.py": "obstore: a server that ignores ranges is told from other failures by the message alone",
}
_LOOKS = {"startswith", "endswith", "find", "index", "count", "removeprefix", "removesuffix", "replace"}
_MATCHES = {"match", "search", "fullmatch", "findall", "finditer", "sub"}


def caught(tree: ast.AST) -> set[str]:
    """Names of exceptions: those that are caught, and what is called like one."""
    handlers = {node.name for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler) and node.name}
    return handlers | {"error", "failure"}


def says(node: ast.AST, names: set[str]) -> str:
    """Whether something is the text of an error: "message" of its own, "text" by str(), "said" by the other side."""
    for each in ast.walk(node):
        if isinstance(each, ast.Attribute) and each.attr in ("message", "hint"):
            return "message"
        if isinstance(each, ast.Attribute) and each.attr == "said" and ast.unparse(each.value) in names:
            return "said"
        if isinstance(each, ast.Call) and ast.unparse(each) in {f"str({name})" for name in names}:
            return "text"
    return ""


def decisions(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The line of each look into an error, and what it looks at."""
    names = caught(tree)
    for node in ast.walk(tree):
        looked: list[ast.AST] = []
        if isinstance(node, ast.Attribute) and node.attr in ("__cause__", "__context__"):
            yield node.lineno, "cause"
        elif isinstance(node, ast.Compare):
            looked = [node.left, *node.comparators]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            looked = [node.func.value] if node.func.attr in _LOOKS else []
            looked += node.args if node.func.attr in _MATCHES else []
        for each in looked:
            if what := says(each, names):
                yield getattr(node, "lineno", 0), what


def test_nobody_decides_by_what_an_error_says() -> None:
    found: dict[str, list[tuple[int, str]]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE).as_posix()
        allowed = {"said"} if place.startswith(OF_OTHERS) else set()
        allowed |= {"text"} if place in WORDS_OF_LIBRARIES else set()
        for line, what in decisions(ast.parse(path.read_text())):
            if what not in allowed and not (what == "cause" and place.startswith(EDGES)):
                found.setdefault(place, []).append((line, what))
    assert found == {}


def test_the_words_of_libraries_are_read_where_they_are_said_to_be() -> None:
    for place in WORDS_OF_LIBRARIES:
        looks = decisions(ast.parse((PACKAGE / place).read_text()))
        assert "text" in {what for _, what in looks}, f"{place} needs no exception any more"


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("isinstance(error.__cause__, OSError)", "cause"),
        ("if 'gone' in error.message: pass", "message"),
        ("if error.message == 'gone': pass", "message"),
        ("if any(phrase in found.message for phrase in LOST): pass", "message"),
        ("if error.hint.startswith('x'): pass", "message"),
        ("PATTERN.search(failure.message)", "message"),
        ("if 'gone' in str(error): pass", "text"),
        ("try:\n    x()\nexcept X as odd:\n    y('gone' in str(odd))", "text"),
        ("if 'gone' in error.said: pass", "said"),
    ],
)
def test_a_look_into_an_error_is_recognised(code: str, what: str) -> None:
    assert [found for _, found in decisions(ast.parse(code))] == [what]


def test_showing_an_error_is_no_decision() -> None:
    code = "raise X(f'{error.message} It is in {place}.', hint=error.advice) from error\nlog(str(error))"
    assert list(decisions(ast.parse(code))) == []
