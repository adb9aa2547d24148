"""Every row of docs/faults.md names a test that there is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "faults.md"
ROW = re.compile(r"^\| .* \| `(?P<file>[\w/]+\.py)::(?P<name>\w+)` \|$")


def rows() -> list[str]:
    lines = PAGE.read_text().splitlines()
    heads = {n + 1 for n, line in enumerate(lines) if line.startswith("|---")}
    body = (n for n, line in enumerate(lines) if line.startswith("| ") and n + 2 not in heads)
    return [lines[n] for n in body]


def names_in(path: Path) -> set[str]:
    """Functions and classes, also within classes; and what is assigned, as state machines are."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


def test_every_row_names_a_test_that_there_is() -> None:
    found = rows()
    assert len(found) > 40
    for row in found:
        match = ROW.match(row)
        assert match, row
        path = TESTS / match["file"]
        assert path.is_file(), row
        assert match["name"].lower().startswith("test"), row
        assert match["name"] in names_in(path), row


def test_every_row_can_be_understood_and_searched_alone() -> None:
    assert [row for row in rows() if row.startswith("| …")] == []
