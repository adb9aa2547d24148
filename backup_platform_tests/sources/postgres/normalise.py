"""Makes two plain pg_dump scripts comparable. docs/postgres-fidelity.md names each rule; there are no others."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

# What a server of some minor releases sets on columns for itself, and a pg_dump of another release writes.
OWN_STATEMENT = re.compile(
    r'^ALTER (?:FOREIGN )?TABLE ONLY (?:[^"\n]|"[^"]*")+ SET \(pg_attver=\d+\);\n', re.MULTILINE
)
OWN_OPTION = re.compile(r"pg_attver=\d+, ")
PER_DUMP = ("-- Dumped ", "\\restrict ", "\\unrestrict ")  # the tools' versions, and random words


def without_own_options(script: str) -> str:
    return OWN_OPTION.sub("", OWN_STATEMENT.sub("", script))


def normalise(dump: Path) -> list[str]:
    """The lines of a plain dump without what says nothing of the database: which tool wrote it, and the order of
    rows. Rows that pg_dump itself loads through a partitioned table are that table's, whatever partition held them.
    """
    with dump.open(encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        return list(_normalised(line.removesuffix("\n") for line in file))


def _normalised(lines: Iterable[str]) -> Iterator[str]:
    rows: dict[str, list[str]] = {}
    lines = iter(lines)
    for line in lines:
        if line.startswith("COPY ") and line.endswith(" FROM stdin;"):
            rows.setdefault(line, []).extend(_until_end(lines))
        elif line and not line.startswith(PER_DUMP):
            yield line
    for copy, values in sorted(rows.items()):
        yield copy
        yield from sorted(values)


def _until_end(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        if line == "\\.":
            return
        yield line


def differences(left: list[str], right: list[str], limit: int = 40) -> list[str]:
    """What a reader needs to see of two unequal dumps; empty for equal ones."""
    if left == right:
        return []
    from difflib import unified_diff

    shown = (line[:400] for line in unified_diff(left, right, "original", "restored", lineterm="", n=1))
    return [line for line, _ in zip(shown, range(limit), strict=False)]
