"""Whether it is the right repository.

Whoever controls a store and knows a public key can put another repository there, encrypted to the same recipients
(docs/encryption.md). Three things detect that: the fingerprint in the plan, what this host remembers, and the
repository key if this host has it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from backup_platform.actions.trust.notes import read_note
from backup_platform.domain.ports import Clock
from backup_platform.errors import RepositoryChangedError, RepositoryError, UsageError
from backup_platform.repository.objects.info import RepositoryInfo

FOLDER = "fingerprints"


@dataclass(frozen=True, slots=True)
class Pin:
    """The fingerprint in the plan, and its key there."""

    fingerprint: str
    key: str


@dataclass(frozen=True, slots=True)
class KnownFingerprint:
    """Which repository was at a place when this host first used it. `vouched` means that something vouched for it then,
    or that a person was told that nothing did."""

    fingerprint: str
    since: datetime
    vouched: bool


@dataclass(frozen=True, slots=True)
class KnownPlace:
    """Where a repository of a plan is: its name there, its location, and the file in which this host remembers it."""

    name: str
    location: str
    note: str

    @classmethod
    def of(cls, state: str, name: str, location: str, endpoint: str) -> KnownPlace:
        digest = hashlib.sha256(f"{endpoint}\n{location}".encode()).hexdigest()[:32]
        return cls(name, location, os.path.join(state, FOLDER, digest))

    def memory(self) -> KnownFingerprint | None:
        """What this host remembers. None if there is nothing readable."""
        with suppress(RepositoryError):
            return self.required_memory()
        return None

    def required_memory(self) -> KnownFingerprint | None:
        """What this host remembers. Raises RepositoryError if it may remember something, and cannot read it."""
        text = read_note(self.note)
        with suppress(ValueError, KeyError, TypeError):
            found = json.loads(text or b"")
            since = datetime.fromisoformat(found["since"])
            return KnownFingerprint(str(found["fingerprint"]), since, found["vouched"] is True)
        return None

    def remember(self, memory: KnownFingerprint) -> None:
        draft = f"{self.note}.{os.getpid()}"
        with suppress(OSError):
            os.makedirs(os.path.dirname(self.note), mode=0o700, exist_ok=True)
            document = {
                "location": self.location,
                "fingerprint": memory.fingerprint,
                "since": memory.since.isoformat(),
                "vouched": memory.vouched,
            }
            with open(draft, "w", encoding="utf-8") as file:
                json.dump(document, file)
            os.replace(draft, self.note)


@dataclass(frozen=True, slots=True)
class FingerprintCheck:
    """The check of one repository of a plan. `others` are the plan's other repositories, which are copies and so have
    the same fingerprint. `has_key` tells whether the repository key is on this host. `plan_key` is its part of the
    plan."""

    place: KnownPlace
    others: Sequence[KnownPlace]
    pin: Pin | None
    has_key: Callable[[], bool]
    plan_key: str
    clock: Clock

    def require(self, info: RepositoryInfo) -> None:
        """Raises RepositoryChangedError when it is another repository than was pinned or seen before, and
        RepositoryError when nothing is pinned and what was seen before cannot be read."""
        expected, source = self._expected()
        if expected and expected != info.fingerprint:
            raise RepositoryChangedError(
                f"Another repository is at {info.location}. Its fingerprint is {info.fingerprint}. The expected one, "
                f"{expected}, {source}.",
                hint="Compare with the recovery sheet first. Whoever writes to the store can put a repository there "
                "that your keys open. Use nothing from it unless the sheet has its fingerprint, or somebody created "
                f"it on purpose. Then write `fingerprint: {info.fingerprint}` as {self.plan_key}.fingerprint into "
                "the plan.",
            )

    def _expected(self) -> tuple[str, str]:
        if self.pin:
            return self.pin.fingerprint, f"is what {self.pin.key}.fingerprint of the plan says"
        if memory := self.place.required_memory():
            return memory.fingerprint, f"was there when this host first used it, on {memory.since:%Y-%m-%d}"
        for other in self.others:
            if memory := other.required_memory():
                what = f"is that of {other.name} at {other.location}"
                return (
                    memory.fingerprint,
                    f"{what}, and by the plan both are the same repository",
                )
        return "", ""

    def opened(self, info: RepositoryInfo) -> None:
        """Remember a repository that passed `require` and had the right key."""
        memory = self.place.memory()
        if memory and memory.fingerprint == info.fingerprint and memory.vouched:
            return
        vouched = self._stood_for(info)
        if not memory or memory.fingerprint != info.fingerprint or vouched:
            self.place.remember(KnownFingerprint(info.fingerprint, self.clock.now(), vouched))

    def _stood_for(self, info: RepositoryInfo) -> bool:
        known = (other.memory() for other in self.others)
        told = any(each and each.vouched and each.fingerprint == info.fingerprint for each in known)
        return bool(self.pin or told or self.has_key())

    def made(self, info: RepositoryInfo) -> None:
        """Remember a repository that was just made here, whatever was known of the place before."""
        self.place.remember(KnownFingerprint(info.fingerprint, self.clock.now(), vouched=True))

    def refuse_to_make(self) -> None:
        """Raises UsageError where the plan already says which repository is meant."""
        if self.pin:
            raise UsageError(
                f"The plan pins the repository with {self.pin.key}.fingerprint, and a new one would have another "
                "fingerprint.",
                hint="To make a new one on purpose, remove the line. Then write the fingerprint that "
                "init prints into the plan.",
            )

    def doubt(self, info: RepositoryInfo) -> str:
        """A warning before data of this repository is used, if nothing vouches for it; else empty. It is given once and
        then remembered."""
        memory = self.place.memory()
        if self._stood_for(info) or (memory and memory.vouched):
            return ""
        self.place.remember(
            KnownFingerprint(info.fingerprint, memory.since if memory else self.clock.now(), vouched=True)
        )
        return (
            f"Nothing vouches for the repository at {info.location}. {self._why(info)} Its fingerprint is "
            f"{info.fingerprint}. Compare it with the recovery sheet, or with what init printed. Then write it as "
            f"{self.plan_key}.fingerprint into the plan"
        )

    def _why(self, info: RepositoryInfo) -> str:
        """One fact a sentence."""
        known = "The plan pins no fingerprint. This host does not know the repository yet"
        if info.key_id:
            return (
                f"{known}, and has no repository key. Whoever writes to the store can put another one there that the "
                "identity opens."
            )
        return f"{known}. It is not encrypted. Whoever writes to the store can change what it holds."

    def state(self, info: RepositoryInfo) -> str:
        """What vouches for the repository, for people."""
        memory = self.place.memory()
        if self.pin:
            return f"pinned as {self.pin.key}.fingerprint{self._unread()}"
        if self.has_key():
            return "not pinned in the plan; the repository key on this host fits it"
        if memory and memory.vouched:
            return f"not pinned in the plan; known to this host since {memory.since:%Y-%m-%d}"
        return ""

    def _unread(self) -> str:
        try:
            self.place.required_memory()
        except RepositoryError as error:
            return f". {error}"
        return ""


def log_doubt(text: str) -> None:
    """For callers that have no better place to report it."""
    logging.getLogger("backup_platform").warning("%s", text)
