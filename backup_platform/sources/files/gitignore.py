"""Patterns with the meaning that git gives them (gitignore(5)), for walks that do not enter excluded directories.

Known libraries are not used, because they judge a path without knowing whether it is a directory: `foo/**` must not
match `foo`, or `!foo/kept` would never be reached. A test compares this with git itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby
from typing import NamedTuple

from backup_platform.errors import PlanError

ANY_DIRECTORIES = "(?:[^/]+/)*"
CLASSES = {
    "alnum": "a-zA-Z0-9",
    "alpha": "a-zA-Z",
    "blank": " \\t",
    "cntrl": "\\x00-\\x1f\\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": "!-/:-@\\[-`{-~",
    "space": "\\s",
    "upper": "A-Z",
    "xdigit": "0-9a-fA-F",
}


class Rule(NamedTuple):
    """One pattern. `regex` is to match a whole path without a leading or trailing slash."""

    keeps: bool
    directories_only: bool
    regex: str


class PatternGroup(NamedTuple):
    """Patterns that follow each other and have the same effect, joined."""

    keeps: bool
    of_files: re.Pattern[str]
    of_directories: re.Pattern[str]


class Rules:
    """The last pattern that matches decides. Raises PlanError for a pattern that could never match."""

    def __init__(self, lines: Iterable[str]) -> None:
        rules = [rule for line in lines if (rule := parse(line))]
        self._groups = [_joined(keeps, list(some)) for keeps, some in groupby(rules, lambda rule: rule.keeps)]
        self._groups.reverse()

    def excludes(self, path: str, *, directory: bool) -> bool:
        """What is in an excluded directory is not asked for."""
        for keeps, of_files, of_directories in self._groups:
            if (of_directories if directory else of_files).fullmatch(path):
                return not keeps
        return False


def _joined(keeps: bool, rules: list[Rule]) -> PatternGroup:
    files = [rule.regex for rule in rules if not rule.directories_only]
    return PatternGroup(keeps, _any(files), _any([rule.regex for rule in rules]))


def _any(regexes: list[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{regex})" for regex in regexes) or "(?!)", re.DOTALL)


def parse(line: str) -> Rule | None:
    """None for a blank line or a comment."""
    text = re.sub(r"(?<!\\) +$", "", line)
    if not text or text.startswith("#"):
        return None
    keeps = text.startswith("!")
    body = text[1:] if keeps else text
    directories_only = body.endswith("/")
    body = body.removesuffix("/")
    anchored = "/" in body
    body = body.removeprefix("/")
    if not body:
        raise _invalid(line, "it names nothing")
    try:
        regex = _path(body.split("/")) if anchored else ANY_DIRECTORIES + _name(body)
        re.compile(regex)
    except (ValueError, re.error) as error:
        raise _invalid(line, str(error)) from error
    return Rule(keeps, directories_only, regex)


def _invalid(line: str, reason: str) -> PlanError:
    return PlanError(
        f"The exclude pattern {line!r} is not valid: {reason}.", hint="Use the syntax of .gitignore."
    )


def _path(names: list[str]) -> str:
    regex, last = "", len(names) - 1
    for position, name in enumerate(names):
        if name != "**":
            regex += _name(name) + ("" if position == last else "/")
        else:
            regex += ".+" if position == last else ANY_DIRECTORIES
    return regex


def _name(pattern: str) -> str:
    """The regular expression of one name. Raises ValueError."""
    regex, position = "", 0
    while position < len(pattern):
        character = pattern[position]
        position += 1
        if character == "*":
            regex += "" if regex.endswith("[^/]*") else "[^/]*"
        elif character == "?":
            regex += "[^/]"
        elif character == "[":
            part, position = _characters(pattern, position)
            regex += part
        elif character == "\\":
            regex += re.escape(_escaped(pattern, position))
            position += 1
        else:
            regex += re.escape(character)
    return regex


def _escaped(pattern: str, position: int) -> str:
    if position == len(pattern):
        raise ValueError("nothing follows its last backslash")
    return pattern[position]


def _characters(pattern: str, position: int) -> tuple[str, int]:
    """A bracket expression, from after its bracket; the position after it. Raises ValueError."""
    negated = pattern[position : position + 1] in ("!", "^")
    position += negated
    first, inside = position, ""
    while position < len(pattern):
        character = pattern[position]
        named = re.compile(r"\[:(\w+):\]").match(pattern, position)
        if character == "]" and position > first:
            return f"(?!/)[{'^' if negated else ''}{inside}]", position + 1
        if named:
            inside += CLASSES.get(named[1]) or _unknown(named[1])
            position = named.end()
            continue
        if character == "\\":
            position += 1
            character = _escaped(pattern, position)
            inside += re.escape(character)
        else:
            inside += character if character == "-" else re.escape(character)
        position += 1
    raise ValueError("its bracket is not closed")


def _unknown(name: str) -> str:
    raise ValueError(f"there is no class [:{name}:]")
