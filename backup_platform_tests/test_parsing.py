"""A collection while a module is parsed, by pytest or hypothesis, harms nothing."""

from __future__ import annotations

import ast
import gc
from collections.abc import Iterator

import pytest

SOURCE = "x = [1 + 2 * (3, (4, 5))[0]]\n" * 3_000


def parse_deeper(depth: int) -> None:
    if depth:
        parse_deeper(depth - 1)
    else:
        ast.parse("a + b")


@pytest.fixture
def _parsed_by_finalizers() -> Iterator[None]:
    """As a traceback is, that a finalizer's error needs."""

    def collected(phase: str, info: dict[str, int]) -> None:
        parse_deeper(20)

    gc.callbacks.append(collected)
    yield
    gc.callbacks.remove(collected)


@pytest.mark.usefixtures("_parsed_by_finalizers")
def test_a_collection_does_not_disturb_a_parser() -> None:
    for _ in range(5):
        assert len(ast.parse(SOURCE).body) == 3_000
    assert gc.isenabled()


def test_it_collects_again_after_an_error() -> None:
    with pytest.raises(SyntaxError):
        ast.parse("(")
    assert gc.isenabled()
