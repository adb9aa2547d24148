"""YAML text as plain data in which every value knows its line. Surprising rules of YAML 1.1 are switched off."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import TypeAlias

import yaml

Path: TypeAlias = tuple[str | int, ...]

_Loader: type[yaml.SafeLoader] | type[yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MAX_DEPTH, MAX_VALUES = 50, 200_000
_TAG = "tag:yaml.org,2002:"
_CLOCK = re.compile(r"[-+]?\d+(:\d\d?)+")
_WHOLE = re.compile(r"[-+]?(0|[1-9]\d*)")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(frozen=True, slots=True, order=True)
class PlanMistake:
    line: int
    message: str


@dataclass(slots=True)
class Document:
    """`data` is made of dict, list, str, int, bool, date and None; `lines` has the line of each path.

    The values at `broken` paths could not be read, which is among the `problems`; they are None.
    Keys are always text: `on`, `no` and `1` stay as written. Values `yes`, `no`, `on` and `off` are text too.
    """

    data: object = None
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[PlanMistake] = field(default_factory=list)
    broken: set[Path] = field(default_factory=set)

    def line(self, path: Path) -> int:
        """The line of a path, else of the nearest part of the document that contains it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def dotted(path: Path) -> str:
    """`sources.shop.exclude[1]`"""
    text = ""
    for part in path:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".")


@dataclass(frozen=True, slots=True, eq=False)
class PlanFile:
    """The file from which a plan was read, for errors that are found later: `file:line: key`. All are equal,
    because the file is not part of the plan's content."""

    file: str
    document: Document

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PlanFile)

    def __hash__(self) -> int:
        return hash(PlanFile)

    def of_key(self, path: Path) -> str:
        line = f"{self.file}:{self.document.line(path)}: " if self.file else ""
        return line + dotted(path)

    def of_text(self, text: str) -> str:
        """The lines of every place whose value holds the text."""
        lines = sorted({self.document.line(path) for path in _holding(self.document.data, text, ())})
        return f"{self.file}:{', '.join(map(str, lines))}: " if lines else ""


def _holding(value: object, text: str, path: Path) -> Iterator[Path]:
    if isinstance(value, str) and text in value:
        yield path
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _holding(item, text, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _holding(item, text, (*path, number))


def read_document(text: str) -> Document:
    """What a YAML text says; what is wrong with it is in `problems`."""
    document = Document()
    try:
        if deep := _too_deep(text):
            document.problems.append(
                PlanMistake(deep, f"is nested deeper than {MAX_DEPTH} levels, which is the limit for a plan")
            )
            return document
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        document.problems.append(_syntax_problem(error, text))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        document.problems.append(PlanMistake(line, "a control character is not allowed in YAML"))
    else:
        if node is not None:
            _build(document, node)
    return document


def _too_deep(text: str) -> int:
    """The line where it is; 0 for what composing can hold, which recurses and may end the process."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            return event.start_mark.line + 1 if event.start_mark else 1
    return 0


def _build(document: Document, node: yaml.Node) -> None:
    line = node.start_mark.line + 1
    try:
        document.data = _Builder(document).build(node, (), line)
    except _TooManyError:
        message = f"its aliases (*) expand to more than {MAX_VALUES:,} values"
        document.data, document.problems = None, [PlanMistake(line, message)]


def _syntax_problem(error: yaml.MarkedYAMLError, text: str) -> PlanMistake:
    mark = error.problem_mark or error.context_mark
    number = mark.line + 1 if mark else 1
    line = (text.splitlines()[number - 1 :] or [""])[0]
    parts = [part for part in (error.context, error.problem) if part]
    message = "not valid YAML: " + ", ".join(parts)
    if line.startswith("\t"):
        message += " (indent with spaces, not with tabs)"
    elif "alias" in message:
        message += " (put what begins with * in quotes)"
    elif "${" in line:
        message += " (between braces, put what holds ${...} in quotes)"
    return PlanMistake(number, message)


class _TooManyError(Exception):
    """Aliases of aliases: a few lines that would fill the memory."""


class _Builder:
    def __init__(self, document: Document) -> None:
        self._document = document
        self._left = MAX_VALUES
        self._open: set[int] = set()

    def build(self, node: yaml.Node, path: Path, line: int) -> object:
        self._document.lines[path] = line
        self._left -= 1
        if self._left < 0:
            raise _TooManyError
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if id(node) in self._open:
            return self._broken(node, path, "an alias (*) points into what contains it")
        self._open.add(id(node))
        try:
            return self._collection(node, path)
        finally:
            self._open.discard(id(node))

    def _collection(self, node: yaml.Node, path: Path) -> object:
        if not node.tag.startswith(_TAG):
            return self._broken(node, path, f"the tag {node.tag} is not known")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        assert isinstance(node, yaml.SequenceNode)
        return [self.build(item, (*path, n), item.start_mark.line + 1) for n, item in enumerate(node.value)]

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, object]:
        made: dict[str, object] = {}
        merged: list[yaml.Node] = []
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._problem(key, "a key must be a single word")
            elif key.tag == _TAG + "merge":
                merged.append(value)
            elif key.value in made:
                first = self._document.lines[*path, key.value]
                self._problem(key, f'the key "{key.value}" is there twice; first in line {first}')
            else:
                made[key.value] = self.build(value, (*path, key.value), key.start_mark.line + 1)
        for value in merged:
            self._merge(made, value, path)
        return made

    def _merge(self, made: dict[str, object], node: yaml.Node, path: Path) -> None:
        """Merge `<<: *base`. Keys that are written beside it take precedence."""
        for source in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if not isinstance(source, yaml.MappingNode):
                self._problem(source, "`<<` merges keys and values only")
                continue
            lines = dict(self._document.lines)
            inherited = self.build(source, path, lines[path])
            self._document.lines.update(lines)
            if isinstance(inherited, dict):
                made.update({key: value for key, value in inherited.items() if key not in made})

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> object:
        text: str = node.value
        plain = not node.style
        if plain and _CLOCK.fullmatch(text):
            return self._broken(
                node,
                path,
                f'put {text} in quotes: "{text}" (without them YAML can read it as a number to base 60)',
            )
        kind = node.tag.removeprefix(_TAG)
        if kind == "null":
            return None
        if kind == "bool" and text.lower() in ("true", "false"):
            return text.lower() == "true"
        if kind == "int" and _WHOLE.fullmatch(text):
            return int(text)
        if kind == "float":
            return self._broken(
                node, path, f'put {text} in quotes: "{text}" (no key takes a number with a fraction)'
            )
        if kind == "timestamp" and _DATE.fullmatch(text):
            return self._date(node, path)
        if kind not in ("str", "bool", "int", "timestamp", "value"):
            return self._broken(node, path, f"the tag {node.tag} is not known")
        return text

    def _date(self, node: yaml.ScalarNode, path: Path) -> object:
        try:
            return date.fromisoformat(node.value)
        except ValueError:
            return self._broken(node, path, f"there is no day {node.value}")

    def _broken(self, node: yaml.Node, path: Path, message: str) -> object:
        self._document.broken.add(path)
        self._problem(node, message)
        return None

    def _problem(self, node: yaml.Node, message: str) -> None:
        self._document.problems.append(PlanMistake(node.start_mark.line + 1, message))
