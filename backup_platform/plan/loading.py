"""From a YAML file to a plan, or to one error that lists every mistake with its line."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from backup_platform.errors import PlanError
from backup_platform.kinds import registry
from backup_platform.plan import coverage, examples
from backup_platform.plan.document import Document, Path, PlanFile, PlanMistake, dotted, read_document
from backup_platform.plan.model import Plan, repository_conflicts
from backup_platform.plan.references import reference_problem
from backup_platform.plan.repository import RepositoryConfig
from backup_platform.plan.source import (
    CONFLICT,
    SourceConfig,
    conflicts,
    default_objective_conflicts,
    known_keys,
    model_for,
)
from backup_platform.plan.values import store_place, suggest

MAX_SIZE = 4_000_000
_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def load_plan(path: str) -> Plan:
    """Raises PlanError for a file that cannot be read and for everything that is wrong in it."""
    return parse_plan(_read(path), path)


def parse_plan(text: str, path: str) -> Plan:
    """The plan in a text. `path` is its name in errors, and relative paths start there."""
    document = read_document(text)
    plan: Plan | None = None
    problems = list(document.problems)
    if isinstance(document.data, dict):
        plan, found = _validate(document, os.path.dirname(os.path.abspath(path)), _shown(path))
        problems += found
    elif not problems:
        problems.append(PlanMistake(1, _not_a_mapping(document.data)))
    if plan is None or problems:
        raise PlanError(_listed(problems, path))
    return plan


def _listed(problems: list[PlanMistake], path: str) -> str:
    shown = _shown(path)
    in_order = sorted(problems, key=lambda problem: problem.line)
    return "\n".join(dict.fromkeys(f"{shown}:{problem.line}: {problem.message}" for problem in in_order))


def _shown(path: str) -> str:
    inside = os.path.abspath(path).startswith(os.path.join(os.getcwd(), ""))
    return os.path.relpath(path) if inside else path


def _read(path: str) -> str:
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            _require_file(path, os.fstat(file.fileno()))
            return file.read().decode("utf-8-sig")
    except FileNotFoundError:
        raise PlanError(f"{path}: there is no plan", hint=f"Write one, such as:\n\n{examples.PLAN}") from None
    except UnicodeDecodeError:
        raise PlanError(f"{path}:1: not UTF-8 text") from None
    except OSError as error:
        raise PlanError(f"{path}: cannot be read: {error.strerror}") from None


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _require_file(path: str, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise PlanError(
            f"{path}: is not a file but {_KINDS.get(stat.S_IFMT(found.st_mode), 'something else')}"
        )
    if found.st_size > MAX_SIZE:
        raise PlanError(f"{path}: has {found.st_size:,} bytes, which is too large for a plan")


def _not_a_mapping(data: object) -> str:
    what = "the plan is empty" if data is None else "the plan must be keys and values"
    return f"{what}: it starts with `repository:` and `sources:`"


def _validate(document: Document, base: str, file: str) -> tuple[Plan | None, list[PlanMistake]]:
    assert isinstance(document.data, dict)
    problems = [
        *_reference_problems(document, document.data, ()),
        *_source_conflicts(document),
        *_repository_conflicts(document, base),
        *_coverage_conflicts(document),
        *_objective_conflicts(document),
    ]
    try:
        return Plan.from_mapping(document.data, base=base, origin=PlanFile(file, document)), problems
    except ValidationError as error:
        return None, problems + [
            _problem(document, each)
            for each in error.errors(include_url=False)
            if each["type"] != CONFLICT and each["loc"] not in document.broken
        ]


def _reference_problems(document: Document, value: object, path: Path) -> Iterator[PlanMistake]:
    if isinstance(value, str) and (problem := reference_problem(value)):
        yield PlanMistake(document.line(path), f"{dotted(path)}: {problem}")
    items: Any = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, item in items:
        yield from _reference_problems(document, item, (*path, key))


def _source_conflicts(document: Document) -> Iterator[PlanMistake]:
    assert isinstance(document.data, dict)
    sources = document.data.get("sources")
    for name, source in sources.items() if isinstance(sources, dict) else ():
        for key, message in conflicts(source) if isinstance(source, dict) else ():
            path: Path = ("sources", name, key) if key else ("sources", name)
            yield PlanMistake(document.line(path), f"{dotted(('sources', name))}: {message}")


def _repository_conflicts(document: Document, base: str) -> Iterator[PlanMistake]:
    assert isinstance(document.data, dict)
    several, sources = document.data.get("repositories"), document.data.get("sources")
    given = {
        str(name): source["repositories"]
        for name, source in (sources.items() if isinstance(sources, dict) else ())
        if isinstance(source, dict) and isinstance(source.get("repositories"), list)
    }
    named = None
    if isinstance(several, dict):
        named = {str(n): store_place(each if isinstance(each, dict) else {}) for n, each in several.items()}
    elif "repositories" in document.data:
        return  # it is no mapping, which is told elsewhere
    for path, message in repository_conflicts(named, given, single="repository" in document.data, base=base):
        yield PlanMistake(document.line(path), f"{dotted(path)}: {message}" if path else message)


def _objective_conflicts(document: Document) -> Iterator[PlanMistake]:
    assert isinstance(document.data, dict)
    sources = document.data.get("sources")
    given = sources if isinstance(sources, dict) else {}
    for path, message in default_objective_conflicts(document.data.get("rpo"), given):
        yield PlanMistake(document.line(path), f"{dotted(path)}: {message}")


def _coverage_conflicts(document: Document) -> Iterator[PlanMistake]:
    assert isinstance(document.data, dict)
    places, sources = document.data.get("coverage"), document.data.get("sources")
    kinds = {
        str(name): (registry.among(source) or [""])[0]
        for name, source in (sources.items() if isinstance(sources, dict) else ())
        if isinstance(source, dict)
    }
    given = places if isinstance(places, dict) else {}
    for path, message in coverage.coverage_conflicts(given, kinds):
        yield PlanMistake(document.line(path), f"{dotted(path)}: {message}")


def _problem(document: Document, error: ErrorDetails) -> PlanMistake:
    path = tuple(part for part in error["loc"] if part != "[key]")
    where = path[:-1] if error["type"] in ("missing", "extra_forbidden") else path
    message = _message(document, error, path)
    return PlanMistake(document.line(path), f"{dotted(where)}: {message}" if where else message)


def _message(document: Document, error: ErrorDetails, path: Path) -> str:
    """What is wrong, for people. Shows a value only where a secret cannot be."""
    kind = error["type"]
    if kind == "extra_forbidden":
        return f'unknown key "{path[-1]}"{_instead(document, path)}'
    if kind == "missing":
        return _missing(path)
    if kind == "value_error":
        return str(error["ctx"]["error"])
    if error["input"] is None:
        return "is empty: write a value or leave the key out"
    return _TYPES.get(kind, _other)(error)


def _missing(path: Path) -> str:
    example = f": there are no sources; {examples.SOURCES}" if path == ("sources",) else ""
    return f"the key `{path[-1]}` is missing{example}"


def _known_at(document: Document, path: Path) -> list[str]:
    """The keys that may stand beside the last of a path."""
    inside = {"repository": 1, "repositories": 2, "sources": 2, "coverage": 2}.get(str(path[0]), 0)
    if not inside or len(path) <= inside:
        return _keys(Plan)
    if path[0] == "coverage":
        return coverage.known_keys(_at(document.data, path[:2]))
    source = _at(document.data, path[:2]) if path[0] == "sources" else None
    if len(path) == inside + 1:
        return known_keys(source) if path[0] == "sources" else _keys(RepositoryConfig)
    model = model_for(source) if isinstance(source, dict) else RepositoryConfig
    return _keys(_part(model, str(path[inside])))


def _instead(document: Document, path: Path) -> str:
    """Advice about an unknown key. In a source that names no kind it may be one that is not installed."""
    known = _known_at(document, path)
    source = _at(document.data, path[:2]) if path[0] == "sources" and len(path) == 3 else None
    if isinstance(source, dict) and model_for(source) is SourceConfig:
        near = suggest(str(path[-1]), known, likeness=0.7)
        return near or "; if it is a kind of source, install the distribution that adds it"
    return suggest(str(path[-1]), known) or "; known are " + ", ".join(known)


def _keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _at(data: object, path: Path) -> object:
    for part in path:
        data = data.get(part) if isinstance(data, dict) else None
    return data


def _part(model: type[BaseModel], key: str) -> type[BaseModel]:
    """The model of the value of a key."""
    annotation = model.model_fields[key].annotation if key in model.model_fields else None
    parts = [each for each in (annotation, *get_args(annotation)) if isinstance(each, type)]
    return next((each for each in parts if issubclass(each, BaseModel)), Plan)


def _text_type(error: ErrorDetails) -> str:
    value = error["input"]
    if isinstance(value, bool | int | date):
        shown = str(value).lower() if isinstance(value, bool) else value
        return f'must be text: put it in quotes, as in "{shown}"'
    return "must be text" if not isinstance(value, str) else _other(error)


def _literal(error: ErrorDetails) -> str:
    known = [word.strip("'") for word in error["ctx"]["expected"].replace(" or ", ", ").split(", ")]
    return f'"{error["input"]}" is not one of {", ".join(known)}{suggest(str(error["input"]), known)}'


def _bound(error: ErrorDetails) -> str:
    limits: Mapping[str, object] = error["ctx"]
    least, most = limits.get("ge"), limits.get("le")
    return f"must be at least {least}" if least is not None else f"must be at most {most}"


def _other(error: ErrorDetails) -> str:
    return error["msg"][0].lower() + error["msg"][1:]


def _too_short(error: ErrorDetails) -> str:
    return "is empty: write at least one"


_Describe = Callable[[ErrorDetails], str]
_TYPES: dict[str, _Describe] = {
    "string_type": _text_type,
    "literal_error": _literal,
    "greater_than_equal": _bound,
    "less_than_equal": _bound,
    "too_short": _too_short,
    "string_too_short": _too_short,
    "int_type": lambda error: "must be a whole number, without quotes",
    "bool_type": lambda error: "must be true or false",
    "bool_parsing": lambda error: "must be true or false",
    "list_type": lambda error: 'must be a list, as in ["a", "b"]',
    "dict_type": lambda error: "must be keys and values",
    "model_type": lambda error: "must be keys and values",
    "model_attributes_type": lambda error: "must be keys and values",
}
