"""Texts for people negate the verb: "is not a file", and not "is no file", which many readers have to read twice."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "backup_platform"
RIDDLE = re.compile(r"\b(?<!there )(?:is|are|was|were) (?:no|none)\b(?! longer| more)", re.IGNORECASE)


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Literals, those of f-strings with `{}` for each value, with their lines. Docstrings are for developers."""
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    bare = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            pieces = [part.value if isinstance(part, ast.Constant) else "{}" for part in node.values]
            yield node.lineno, "".join(map(str, pieces))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts | bare:
            yield node.lineno, node.value


def riddles(path: Path) -> list[str]:
    found = texts(ast.parse(path.read_text()))
    return [f"{path.relative_to(PACKAGE)}:{line}: {text}" for line, text in found if RIDDLE.search(text)]


def test_no_text_says_is_no() -> None:
    found = [text for path in sorted(PACKAGE.rglob("*.py")) for text in riddles(path)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("text", ["x is no file.", "{name} is no file", "they are none", "was no draft"])
def test_the_search_finds_them(text: str) -> None:
    ((_, found),) = texts(ast.parse(f"x = f{text!r}"))
    assert RIDDLE.search(found)


@pytest.mark.parametrize(
    "text", ["There is no file.", "It is no longer needed.", "it has no name", "is not a file"]
)
def test_usual_words_stay(text: str) -> None:
    assert not RIDDLE.search(text)
