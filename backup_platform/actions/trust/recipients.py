"""Which recipients a repository must have: those of the plan, or else those that this host remembers from its first
use and from later changes on this host. Every holder of the repository key can change the recipients in the
repository."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from backup_platform.actions.trust.notes import read_note
from backup_platform.domain.ports import Clock
from backup_platform.domain.recipients import Expected
from backup_platform.errors import RepositoryError

FOLDER = "recipients"


@dataclass(frozen=True, slots=True)
class Remembered:
    """What this host remembers of the repository with a fingerprint: its recipients, and those that were retired on
    this host."""

    fingerprint: str
    since: datetime
    active: frozenset[str]
    retired: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class RecipientNote:
    """The file in which this host remembers the recipients of the repository at one place. It may be lost."""

    path: str

    @classmethod
    def beside(cls, fingerprint_note: str) -> RecipientNote:
        """For the place whose fingerprint is remembered in that file."""
        folder, name = os.path.split(fingerprint_note)
        return cls(os.path.join(os.path.dirname(folder), FOLDER, name))

    def read(self, fingerprint: str) -> Remembered | None:
        """None if there is no note, or if it is about another repository. Raises RepositoryError."""
        text = read_note(self.path)
        with suppress(ValueError, KeyError, TypeError):
            found = json.loads(text or b"")
            since = datetime.fromisoformat(found["since"])
            active, retired = (frozenset(map(str, found[name])) for name in ("active", "retired"))
            if found["fingerprint"] == fingerprint:
                return Remembered(fingerprint, since, active, retired)
        return None

    def is_new(self, fingerprint: str) -> bool:
        """Whether nothing is noted of the repository. A note that cannot be read may hold something."""
        with suppress(RepositoryError):
            return self.read(fingerprint) is None
        return False

    def write(self, memory: Remembered) -> None:
        draft = f"{self.path}.{os.getpid()}"
        document = {
            "fingerprint": memory.fingerprint,
            "since": memory.since.isoformat(),
            "active": sorted(memory.active),
            "retired": sorted(memory.retired),
        }
        with suppress(OSError):
            os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
            with open(draft, "w", encoding="utf-8") as file:
                json.dump(document, file)
            os.replace(draft, self.path)

    def remove(self) -> None:
        with suppress(OSError):
            os.unlink(self.path)


@dataclass(frozen=True, slots=True)
class RecipientMemory:
    """`domain.recipients.KnownRecipients` of one repository of a plan. `others` are notes of the plan's other
    repositories, which are copies. `plan_key` is the part of the plan that names `pinned`. `first_use` means that there
    was no note when this object was made."""

    note: RecipientNote
    others: Sequence[RecipientNote]
    pinned: tuple[str, ...]
    plan_key: str
    fingerprint: str
    clock: Clock
    first_use: bool

    def expected(self, active: Sequence[str], *, whole: bool) -> Expected:
        if self.pinned:
            pinned = frozenset(self.pinned)
            self._remember(pinned)
            return Expected(pinned, pinned, f"{self.plan_key}.recipients")
        own = self._read()
        if own is None:
            if whole and active:
                self._remember(active)
            return Expected(frozenset(active), frozenset(active))
        known = [own, *(memory for note in self.others if (memory := note.read(self.fingerprint)))]
        retired = frozenset[str]().union(*(each.retired for each in known))
        allowed = frozenset[str]().union(*(each.active for each in known)) - retired
        return Expected(allowed, own.active - retired)

    def added(self, recipient: str) -> None:
        if own := self._readable():
            self._write(own.active | {recipient}, own.retired - {recipient}, own.since)

    def retired(self, recipient: str) -> None:
        if own := self._readable():
            self._write(own.active - {recipient}, own.retired | {recipient}, own.since)

    def chosen(self, recipients: Sequence[str]) -> None:
        named, own = frozenset(recipients), self._readable()
        if own and not self.first_use:
            self._write(own.active | named, own.retired - named, own.since)
        elif named:
            self._write(named, frozenset(), self.clock.now())
        else:
            self.note.remove()

    def _read(self) -> Remembered | None:
        return self.note.read(self.fingerprint)

    def _readable(self) -> Remembered | None:
        with suppress(RepositoryError):
            return self._read()
        return None

    def _remember(self, recipients: Iterable[str]) -> None:
        own, active = self._readable(), frozenset(recipients)
        if own is None or own.active != active:
            self._write(active, (own.retired if own else frozenset()) - active, self.clock.now())

    def _write(self, active: frozenset[str], retired: frozenset[str], since: datetime) -> None:
        self.note.write(Remembered(self.fingerprint, since, active, retired))
