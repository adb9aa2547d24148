"""Labels of tables."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from backup_platform.domain.tables import label_of

NAMES = st.text(alphabet='ab."', min_size=1, max_size=6)


def test_a_plain_name_is_its_own_label() -> None:
    assert label_of("public", "Order lines") == "public.Order lines"


@given(NAMES, NAMES, NAMES, NAMES)
def test_two_tables_never_have_one_label(schema: str, name: str, other_schema: str, other_name: str) -> None:
    same = (schema, name) == (other_schema, other_name)
    assert (label_of(schema, name) == label_of(other_schema, other_name)) is same


def test_a_dot_moves_between_schema_and_name() -> None:
    assert label_of("a.b", "c") == '"a.b".c'
    assert label_of("a", "b.c") == 'a."b.c"'
