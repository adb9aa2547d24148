"""pydantic's errors in the words of the plan, with lines and nearest keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from backup_platform.plan.document import Document
from backup_platform.plan.fields import nearest


def problems_of(error: ValidationError, document: Document, model: type[BaseModel]) -> list[tuple[int, str]]:
    """(line, sentence) of each error."""
    return list(_problems(error, document, model))


def _problems(error: ValidationError, document: Document, model: type[BaseModel]) -> Iterator[tuple[int, str]]:
    for item in error.errors(include_url=False, include_input=False):
        where = item["loc"]
        line = document.line(where)
        if item["type"] == "value_error" and not where:
            line = _line_of_name(item["msg"], document)
        yield line, _sentence(where, item["type"], item["msg"], model)


def _line_of_name(message: str, document: Document) -> int:
    """Errors about the name of a source stand at the whole plan; they quote the name."""
    name = message.split("'")[1] if message.count("'") >= 2 else ""
    return document.line(("sources", name))


def _sentence(where: tuple[int | str, ...], kind: str, message: str, model: type[BaseModel]) -> str:
    place = ".".join(map(str, where))
    name = str(where[-1]) if where else ""
    if kind == "extra_forbidden":
        known = sorted(_known(model, where[:-1]))
        hint = nearest(name, known) or f". Known here: {', '.join(known)}"
        parent = ".".join(map(str, where[:-1]))
        return f"unknown key {name!r}{f' in {parent}' if parent else ''}{hint}"
    if kind == "missing":
        return f"{place} is missing"
    if kind == "too_short":
        return f"{place} is empty: name at least one source"
    text = message.removeprefix("Value error, ")
    return f"{place}: {text[:1].lower() + text[1:] if kind != 'value_error' else text}" if place else text


def _known(model: type[BaseModel], where: tuple[int | str, ...]) -> set[str]:
    """The keys of the model at a place."""
    current: type[BaseModel] | None = model
    for part in where:
        if current is None:
            return set()
        if str(part) in current.model_fields:
            current = _model_in(current.model_fields[str(part)].annotation)
    return set(current.model_fields) if current else set()


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that an annotation is, or holds (`dict[str, Model]`, `Model | None`)."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)
