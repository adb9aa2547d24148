"""Amounts in words."""

from __future__ import annotations


def how_many(amount: int, one: str, many: str = "") -> str:
    """`1 file`, `2,000 files`; `many` where an s is not the plural."""
    return f"{amount:,} {one if amount == 1 else many or one + 's'}"
