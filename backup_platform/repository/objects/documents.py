"""Signed documents: the codec that all of them have, and their fields (FORMAT.md §7, §8).

Who wrote a document may be hostile.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from backup_platform.domain.limits import MAX_NUMBER
from backup_platform.domain.model import Json, Window
from backup_platform.domain.ports import Buffer
from backup_platform.errors import DamageError
from backup_platform.repository.objects.canonical import sign, unsign
from backup_platform.repository.objects.names import Hash, digest

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Codec:
    """Reads and writes the signed documents of one repository, given by its id. `hashed` is keyed in an encrypted
    repository."""

    repository: str
    hashed: Hash = digest

    def encode(self, fields: Mapping[str, Json]) -> tuple[str, bytes]:
        """A document's id and its bytes. It says which repository it is of."""
        return self.sign({**fields, "repository": self.repository})

    def decode(self, key: str, data: Buffer, place: Mapping[str, Json] | None = None) -> SignedDocument:
        """Inverse of `encode`. `place` is what the key tells of the document. Raises DamageError when it is altered,
        or says something else than its place."""
        found = self.unsign(key, data)
        for name, value in {**(place or {}), "repository": self.repository}.items():
            if found.fields.values.get(name) != value:
                raise misplaced(key)
        return found

    def sign(self, fields: Mapping[str, Json]) -> tuple[str, bytes]:
        """The same for documents that do not name their repository."""
        return sign(fields, self.hashed)

    def unsign(self, key: str, data: Buffer) -> SignedDocument:
        """Inverse of `sign`. Raises DamageError when the bytes are not what was signed."""
        identity, fields = unsign(key, data, self.hashed)
        return SignedDocument(key, identity, Fields(fields))


def misplaced(key: str) -> DamageError:
    return DamageError(f"The object {key} belongs elsewhere: somebody moved or copied it.", subject=key)


@dataclass(frozen=True, slots=True)
class SignedDocument:
    """A signed document that was read: where it is, its id, and what it says."""

    key: str
    id: str
    fields: Fields

    def decoded(self, make: Callable[[Fields], T], what: str = "object") -> T:
        """Raises DamageError where a field is missing or is something else than `make` needs."""
        try:
            return make(self.fields)
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise DamageError(
                f"The {what} {self.key} lacks a field, or a field has the wrong type: {error}.",
                subject=self.key,
            ) from error


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
            raise ValueError(f"{name!r} has the wrong form")
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

    def window(self, name: str) -> Window:
        """Inverse of `window_fields`."""
        said = self.inner(name)
        return Window(said.text("key"), said.instant("start"), said.instant("end"))

    def inner(self, name: str) -> Fields:
        return Fields(self._of(name, dict))

    def inners(self, name: str, most: int) -> Iterator[Fields]:
        """A list of documents."""
        found = self.list(name)
        if len(found) > most or not all(isinstance(each, dict) for each in found):
            raise ValueError(f"{name!r} is not a list of up to {most} documents")
        return map(Fields, found)

    def texts(self) -> dict[str, str]:
        """All fields, if each is a text."""
        return {name: self.text(name) for name in self.values}


def window_fields(window: Window) -> dict[str, Json]:
    return {"end": window.end.isoformat(), "key": window.key, "start": window.start.isoformat()}


def instant(text: str) -> datetime:
    """With an offset, and not so near the ends of the calendar that arithmetic fails. Raises ValueError, TypeError."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None or not 1900 <= found.year <= 9998:
        raise ValueError(f"{text[:40]!r} is not a time with an offset")
    return found


def _kind(value: Json) -> str:
    return "null" if value is None else f"of the type {type(value).__name__}"
