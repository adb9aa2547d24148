"""Labels of tables, and catalogues that others wrote."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup_platform.domain.tables import Catalogue, bounded_document, label_of

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


# What a stream of `catalogue.json` may hold that somebody else wrote.


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 100_000,
        b'{"version": ' + b"[" * 100 + b"]" * 100 + b"}",
        b'{"version": ' + b"1" * 50_000 + b"}",
        b"[]",
        b"null",
        b'{"version": 1, "engine": "x", "tables": 5}',
        b"\xff",
    ],
)
def test_what_is_no_catalogue_is_an_error_of_one_kind(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"it|no|catalogue|codec"):
        Catalogue.read([text])


def test_a_stream_without_end_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backup_platform.domain.tables.MAX_TABLES_DOCUMENT", 1000)
    blocks = itertools.count()
    with pytest.raises(ValueError, match="more than 1,000 bytes"):
        bounded_document(b"x" * 100 for _ in blocks)
    assert next(blocks) == 11


def test_a_document_of_too_many_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backup_platform.domain.tables.MAX_TABLES_VALUES", 50)
    assert bounded_document([b"[", b"0," * 40, b"0]"])
    with pytest.raises(ValueError, match="larger"):
        bounded_document([b"[", b"0," * 60, b"0]"])
