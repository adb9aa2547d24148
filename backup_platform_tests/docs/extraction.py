"""The examples of a Markdown page: what is fenced, and what is indented as code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Example:
    """`name` is its first line, by which tables of tests speak of it."""

    page: str
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        return self.text.strip().splitlines()[0].strip()

    @property
    def commands(self) -> list[str]:
        """Its lines without their comments."""
        lines = (re.sub(r"\s+# .*$", "", line).strip() for line in self.text.splitlines())
        return [line for line in lines if line]


def examples(page: str, text: str) -> Iterator[Example]:
    lines, number = text.split("\n"), 0
    while number < len(lines):
        start = number
        if lines[number].lstrip().startswith("```"):
            number += 1
            while not lines[number].lstrip().startswith("```"):
                number += 1
            language = lines[start].strip().removeprefix("```").split(" ")[0]
            yield Example(page, start + 2, language, _block(lines[start + 1 : number]))
        elif _is_code(lines[number]) and (number == 0 or not lines[number - 1].strip()):
            while number < len(lines) and (_is_code(lines[number]) or _goes_on(lines, number)):
                number += 1
            yield Example(page, start + 1, "", _block(lines[start:number]))
        number += 1


def _is_code(line: str) -> bool:
    return line.startswith("    ") and bool(line.strip())


def _goes_on(lines: list[str], number: int) -> bool:
    following = lines[number + 1] if number + 1 < len(lines) else ""
    return not lines[number].strip() and _is_code(following)


def _block(lines: list[str]) -> str:
    indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return "\n".join(line[indent:] for line in lines) + "\n"
