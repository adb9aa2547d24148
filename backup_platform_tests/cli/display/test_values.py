from __future__ import annotations

from backup_platform.cli.display.values import value_lines
from backup_platform.domain.model import Json


def test_values_of_every_shape_are_printed_in_full() -> None:
    values: dict[str, Json] = {
        "pages": 1234,
        "ratio": 0.5,
        "equal": True,
        "different": False,
        "nothing": None,
        "empty": [],
        "text": "ab",
        "rows": {"orders": 10_000, "inner": {"deep": "x"}},
        "schema": ["create table x", {"name": "é"}],
    }
    assert list(value_lines(values, "  ")) == [
        "  pages: 1,234",
        "  ratio: 0.5",
        "  equal: yes",
        "  different: no",
        "  nothing: -",
        "  empty: -",
        "  text: ab",
        "  rows:",
        "    orders: 10,000",
        "    inner:",
        "      deep: x",
        "  schema:",
        "    create table x",
        '    {"name": "é"}',
    ]
