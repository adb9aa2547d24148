"""Parsing as Python 3.11.8 does it, for older releases of 3.11.

Those count the depth of a syntax tree in a place that all parsers share. A garbage collection in the middle of one
tree runs finalizers, hooks and other threads; when one of them parses, too (a traceback does, to mark columns), the
first fails: `SystemError: AST constructor recursion depth mismatch`. pytest parses each module that it imports and
each source that it shows, hypothesis parses while it imports and explains, so that a test fails once in many runs.
"""

from __future__ import annotations

import ast
import gc
import sys
import threading
from collections.abc import Callable
from functools import wraps
from typing import Any

FIXED = (3, 11, 8)
_one = threading.RLock()


def make_parsing_safe() -> None:
    if sys.version_info < FIXED:
        ast.parse = uninterrupted(ast.parse)


def uninterrupted(parse: Callable[..., Any]) -> Callable[..., Any]:
    """`parse`, one at a time and without a collection meanwhile."""

    @wraps(parse)
    def parse_alone(*arguments: Any, **options: Any) -> Any:
        with _one:
            collects = gc.isenabled()
            gc.disable()
            try:
                return parse(*arguments, **options)
            finally:
                if collects:
                    gc.enable()

    return parse_alone
