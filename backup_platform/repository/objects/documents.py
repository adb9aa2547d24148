"""Signed, sealed documents, and their fields: who wrote a document may be hostile."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from backup_platform.domain.limits import MAX_NUMBER
from backup_platform.domain.model import Json
from backup_platform.errors import DamageError
from backup_platform.repository.objects.canonical import sign, unsign

if TYPE_CHECKING:
    from backup_platform.repository.repository import Repository

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of a document, each of the type that it must have.

    Every method raises KeyError, TypeError or ValueError for a field that is missing or something else."""

    values: Mapping[str, Any]

    def _of(self, name: str, kind: type[T]) -> T:
        value = self.values[name]
        if not isinstance(value, kind):
            raise TypeError(f"{name!r} is {_kind(value)}")
        return value

    def text(self, name: str, form: re.Pattern[str] | None = None) -> str:
        found = self._of(name, str)
        if form and not form.fullmatch(found):
            raise ValueError(f"{name!r} has another form")
        return found

    def flag(self, name: str) -> bool:
        return self._of(name, bool)

    def count(self, name: str, least: int = 0, most: int = MAX_NUMBER) -> int:
        value = self._of(name, int)
        if isinstance(value, bool) or not least <= value <= most:
            raise ValueError(f"{name!r} is not between {least:,} and {most:,}")
        return value

    def number(self, name: str) -> float:
        """Finite, and small enough for arithmetic with times and sizes."""
        value = self.values[name]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"{name!r} is {_kind(value)}")
        if not math.isfinite(value) or abs(value) > MAX_NUMBER:
            raise ValueError(f"{name!r} is out of range")
        return value

    def instant(self, name: str) -> datetime:
        return instant(self.text(name))

    def list(self, name: str) -> list[Any]:
        return self._of(name, list)

    def inner(self, name: str) -> Fields:
        return Fields(self._of(name, dict))

    def inners(self, name: str, most: int) -> Iterator[Fields]:
        """A list of documents."""
        found = self.list(name)
        if len(found) > most or not all(isinstance(each, dict) for each in found):
            raise ValueError(f"{name!r} is no list of up to {most} documents")
        return map(Fields, found)

    def texts(self) -> dict[str, str]:
        """All fields, if each is a text."""
        return {name: self.text(name) for name in self.values}


def instant(text: str) -> datetime:
    """With an offset, and not so near the ends of the calendar that arithmetic fails. Raises ValueError, TypeError."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None or not 1900 <= found.year <= 9998:
        raise ValueError(f"{text[:40]!r} is no instant with an offset")
    return found


def _kind(value: Json) -> str:
    return "null" if value is None else f"of the type {type(value).__name__}"


def write_document(
    repository: Repository, key: str, document: Mapping[str, Json], *, anew: bool = False
) -> None:
    """Raises ConflictError when there is one under this key, unless it is to be written `anew`."""
    _, data = sign({**document, "repository": repository.info.id}, repository.cipher.hash)
    store = repository.store
    (store.replace if anew else store.create)(key, repository.cipher.wrap(key, data).stored)


def read_document(repository: Repository, key: str, place: Mapping[str, Json]) -> dict[str, Any]:
    """`place` is what the key tells of the document. Raises DamageError when it is altered or says something else."""
    document: dict[str, Any] = unsign(key, repository.plain(key), repository.cipher.hash)[1]
    said = {name: document.get(name) for name in (*place, "repository")}
    if said != {**place, "repository": repository.info.id}:
        raise DamageError(f"The object {key} belongs elsewhere: somebody moved or copied it.", subject=key)
    return document


def moment(key: str, document: Mapping[str, Any], name: str) -> datetime:
    """An instant in a document. Raises DamageError."""
    try:
        found = instant(document[name])
    except (KeyError, TypeError, ValueError) as error:
        raise DamageError(f"The document {key} has no instant {name!r}: {error}.", subject=key) from error
    return found
