"""Marks in the ledger (FORMAT.md §8): packs that a verify found damaged, indexes that it found wrong, and false claims
that somebody has to look at."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass

from backup_platform.errors import ConflictError, DamageError
from backup_platform.repository.objects.documents import Fields, misplaced
from backup_platform.repository.objects.names import (
    CLAIMS,
    DAMAGED,
    META,
    PACKS,
    HashedKey,
    IndexKey,
    PackKey,
)
from backup_platform.repository.objects.objects import Objects
from backup_platform.repository.objects.record_names import is_mark

MARK = re.compile(rf"{DAMAGED}(?P<kind>packs/|meta/|indexes/)(?P<id>[0-9a-f]{{64}})")


def mark_name(key: HashedKey) -> str:
    """What the name of the record says that tells that a pack is damaged, or an index wrong."""
    return f"{DAMAGED}{key.partition('/')[0]}/{key.id}"


def marked(says: str) -> PackKey | IndexKey | None:
    """Inverse of `mark_name`. None for a name that is not a mark."""
    if not (match := MARK.fullmatch(says)):
        return None
    identity = bytes.fromhex(match["id"])
    if match["kind"] in (PACKS, META):
        return PackKey.of(identity, meta=match["kind"] == META)
    return IndexKey.of(identity)


@dataclass(frozen=True, slots=True)
class Marks:
    """The damage marks of one repository."""

    objects: Objects

    def damaged(self) -> set[HashedKey]:
        """Keys of packs that a verify found damaged, and of indexes that it found wrong.

        Marks of packs by older versions count: they only make careful. Marks of indexes these did not make.
        """
        marks = (each.says for each in self.objects.records(DAMAGED) if is_mark(each))
        return {key for mark in marks if (key := marked(mark))}

    def mark(self, key: HashedKey, reason: str) -> None:
        """Mark a pack as damaged, so that writers store its blobs again if a source still has them. Or mark an index as
        wrong, so that nobody uses it."""
        objects = self.objects
        said = {"at": objects.clock.now().isoformat(), "pack": str(key), "reason": reason}
        with suppress(ConflictError):
            objects.put(objects.names.name(mark_name(key)), objects.codec.sign({**said})[1])

    def note_false_claim(self, pack: PackKey, reason: str) -> None:
        """Tell until a person deletes the record: somebody who may write stored a wrong index or a wrong pack. The pack
        and its indexes may be gone by then."""
        objects = self.objects
        said = {"at": objects.clock.now().isoformat(), "pack": str(pack), "reason": reason}
        with suppress(ConflictError):
            objects.put(objects.names.name(f"{CLAIMS}{pack.id}"), objects.codec.sign({**said})[1])

    def false_claims(self, most: int) -> tuple[list[str], int]:
        """The first sentences of what such records say, and how many records there are. Raises StoreError."""
        records = [each for each in self.objects.records(CLAIMS) if each.counts]
        told = [text for each in records[:most] if (text := self._told(each.key))]
        return told, len(records)

    def _told(self, key: str) -> str:
        try:
            document = self.objects.codec.unsign(key, self.objects.plain(key))
            return f"{key}: {document.decoded(_claim)}"
        except DamageError as error:
            return "" if error.missing else f"{key}: {error.message}"

    def unmark(self, key: HashedKey) -> None:
        name = mark_name(key)
        for mark in (name, self.objects.names.name(name)):  # the first is that of an older version
            self.objects.store.delete(mark)

    def require_authentic(self, key: str) -> None:
        """Raises DamageError unless the document of a mark is authentic, and says that it is of the object that its
        name tells."""
        document = self.objects.codec.unsign(key, self.objects.plain(key))
        if document.fields.values.get("pack") != marked(key):
            raise misplaced(key)


def _claim(said: Fields) -> str:
    at, pack, reason = said.instant("at"), PackKey(said.text("pack")), said.text("reason")
    return f"found on {at:%Y-%m-%d %H:%M} UTC of {pack}. {reason}"
