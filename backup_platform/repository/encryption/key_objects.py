"""The objects below `keys/`: what is wrong with each of them, and what to do about it (FORMAT.md §9)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backup_platform.advice import Advice, Hint, command, joined, written
from backup_platform.domain.ports import Buffer, Cipher
from backup_platform.domain.recipients import Expected
from backup_platform.errors import DamageError, KeyMissingError, NotFoundError
from backup_platform.repository.objects.names import (
    ADDED,
    KEYS,
    RETIRED,
    REWRAPPED,
    digest,
    is_named_by,
    recipient_name,
)

if TYPE_CHECKING:
    from backup_platform.repository.encryption.age_cipher import AgeCipher
    from backup_platform.repository.encryption.recipients import StoredRecipient

WRAPPED = re.compile(f"{KEYS}[0-9a-f]{{64}}")
NAMED = re.compile(
    f"{KEYS}[0-9a-f]{{64}}({re.escape(ADDED)}|{re.escape(RETIRED)})?|{REWRAPPED}[0-9a-f]{{64}}"
)


@dataclass(frozen=True, slots=True)
class KeyProblem:
    """`what` is wrong with an object, as in "is missing". `effect` is the consequence, and `advice` says what to do.
    `recipient` is given if this recipient's wrapped repository key can be made again; if it is empty, only a copy can
    help. `decides` means that the object is sound, and that only a person can decide whether it is right. `foreign`
    means that nothing here shows that a recipient ever had this object: only a person can decide to delete it."""

    key: str
    what: str
    effect: str
    advice: Hint
    recipient: str = ""
    decides: bool = False
    foreign: bool = False

    def __str__(self) -> str:
        return written(self.told)

    @property
    def told(self) -> Advice:
        """All of it, in a sentence or two."""
        return joined(f"{self.key} {self.what}: {self.effect}.", self.advice)


def key_problems(cipher: Cipher) -> list[KeyProblem]:
    """What is wrong below `keys/`, of an encrypted repository. One that is not has nothing there that is read."""
    from backup_platform.repository.encryption.age_cipher import AgeCipher

    return list(_problems(cipher)) if isinstance(cipher, AgeCipher) else []


def _problems(cipher: AgeCipher) -> Iterator[KeyProblem]:
    from backup_platform.repository.encryption.recipients import listed_keys

    below = _BelowKeys.at(cipher, listed_keys(cipher.objects))
    unexpected = below.unexpected()
    told = {problem.key for problem in unexpected}
    by_name = {each.name: each for each in below.found}
    damaged = set[str]()
    for key in sorted(below.listed):
        if what := object_problem(cipher, key, by_name.get(key.removeprefix(KEYS))):
            damaged.add(key)
            yield below.described(key, what)
    yield from (below.described(key, "is missing") for key in sorted(below.lacking(damaged) - told))
    yield from unexpected


def unexpected_recipients(cipher: Cipher) -> list[KeyProblem]:
    """Where an encrypted repository names other recipients than the plan or this host, and which documents of
    recipients are not authentic. Nothing else is checked. After a backup this needs no listing, because the listing
    that was made when its recipients were chosen is used."""
    from backup_platform.repository.encryption.age_cipher import AgeCipher
    from backup_platform.repository.encryption.recipients import listed_keys

    if not isinstance(cipher, AgeCipher):
        return []
    below = _BelowKeys.at(cipher, cipher.listed or listed_keys(cipher.objects))
    damaged = (below.described(key, "is damaged or forged") for key in sorted(below.damaged))
    return [*below.unexpected(), *damaged]


@dataclass(frozen=True, slots=True)
class _BelowKeys:
    """What the `listed` objects below `keys/` say: `found` are the recipients with authentic documents, and `damaged`
    the keys of the other documents. `expected` are the recipients that the plan and this host know, and None if nobody
    is asked. `names` are the recipients that are known at all, by their names."""

    listed: frozenset[str]
    found: Sequence[StoredRecipient]
    damaged: Collection[str]
    expected: Expected | None
    names: Mapping[str, str]

    @classmethod
    def at(cls, cipher: AgeCipher, listed: Collection[str]) -> _BelowKeys:
        from backup_platform.repository.encryption.recipients import readable_recipients

        found, damaged = readable_recipients(cipher.objects, listed)
        active = [each.text for each in found if not each.retired_at]
        known = cipher.known_recipients
        expected = known.expected(active, whole=not damaged) if known else None
        expecting = expected.allowed | expected.required if expected else frozenset[str]()
        texts = {*(each.text for each in found), *_here(cipher), *expecting}
        return cls(
            frozenset(listed), found, damaged, expected, {recipient_name(text): text for text in texts}
        )

    def unexpected(self) -> list[KeyProblem]:
        if self.expected is None:
            return []
        active = [each.text for each in self.found if not each.retired_at]
        retired = {each.text for each in self.found if each.retired_at}
        lacking, plan_key = self.expected.lacking(active), self.expected.plan_key
        return [
            *(_added(text, plan_key) for text in self.expected.unknown(active)),
            *(_retired(text, plan_key) for text in lacking if text in retired),
            *(each for text in lacking if text not in retired for each in _lost(text, self.listed, plan_key)),
        ]

    def lacking(self, damaged: Collection[str]) -> set[str]:
        """Each recipient has its wrapped key, and each sound wrapped key its recipient. What somebody else wrote lacks
        nothing."""
        names = {key.removesuffix(ADDED).removesuffix(RETIRED) for key in self.listed if NAMED.fullmatch(key)}
        named = {name for name in names if WRAPPED.fullmatch(name)}
        known = {name for name in named if self._recipient(name)}
        sound = {name for name in named if name in self.listed and name not in damaged}
        return (known | {name + ADDED for name in known | sound}) - self.listed

    def _recipient(self, key: str) -> str:
        """Whose object it is, if anybody here knows."""
        return self.names.get(key.removeprefix(KEYS).removesuffix(ADDED).removesuffix(RETIRED), "")

    def described(self, key: str, what: str) -> KeyProblem:
        recipient = self._recipient(key)
        if not NAMED.fullmatch(key):
            return KeyProblem(key, what, "nothing reads it", _DELETE, foreign=True)
        if key.startswith(REWRAPPED):
            effect = "packs that were stored before a recipient was added may not open for it"
            again = (*_FROM_A_COPY, command("key", "rewrap"), ", and delete it with the tools of the store")
            return KeyProblem(key, what, effect, again, foreign=True)
        if not recipient:
            return _foreign(key, what)
        if key.endswith(RETIRED):
            return self._doubted(key, what, recipient)
        if key.endswith(ADDED):
            return KeyProblem(key, what, self._without_document(recipient, what), _adding(recipient))
        return _wrapped(key, what, recipient)

    def _doubted(self, key: str, what: str, recipient: str) -> KeyProblem:
        retiring = (*_FROM_A_COPY, command("key", "retire", recipient))
        if self.expected is None or recipient in self.expected.allowed:
            effect = f"it counts for nothing, and contents are still encrypted to {recipient}"
            return KeyProblem(
                key, what, effect, joined(f"If nobody retired it, {_DELETE_IT}. Else", retiring), foreign=True
            )
        effect = f"whether {recipient} was retired is not known, so nothing is encrypted to it"
        return KeyProblem(key, what, effect, retiring)

    def _without_document(self, recipient: str, what: str) -> str:
        if self.expected and self.expected.plan_key and recipient in self.expected.allowed:
            return f"contents are encrypted to {recipient} only because the plan names it"
        if what == "is missing":
            return f"nothing is encrypted to {recipient}, or a `key add` was interrupted"
        return f"nothing is encrypted to {recipient} any more"


def _added(recipient: str, plan_key: str) -> KeyProblem:
    """`plan_key` is where the plan names recipients; empty where it does not."""
    right: Hint = "name it there"
    if plan_key:
        what = f"names {recipient}, which {plan_key} of the plan does not"
        effect = "nothing is written to it"
    else:
        what = f"names {recipient}, which was not added on this host"
        effect = "what is stored from now on opens for it"
        right = ("run ", command("key", "add", recipient), " here, too, or write `recipients` into the plan")
    retiring = (
        "If nobody did that on purpose, run ",
        command("key", "retire", recipient),
        f"; {_TAKEN_OVER}.",
    )
    return KeyProblem(_key_of(recipient) + ADDED, what, effect, joined(retiring, "Else", right), decides=True)


def _retired(recipient: str, plan_key: str) -> KeyProblem:
    right: Hint = "take it out there"
    if plan_key:
        what = f"retires {recipient}, which {plan_key} of the plan names"
        effect = "contents are still written to it"
    else:
        what = f"retires {recipient}, which was not retired on this host"
        effect = "nothing is written to it any more"
        right = (
            "run ",
            command("key", "retire", recipient),
            " here, too, or write `recipients` into the plan",
        )
    replacing = f"If nobody did that on purpose, add a new one in its place; {_TAKEN_OVER}."
    return KeyProblem(
        _key_of(recipient) + RETIRED, what, effect, joined(replacing, "Else", right), decides=True
    )


def _lost(recipient: str, listed: Collection[str], plan_key: str) -> Iterator[KeyProblem]:
    """The problems of an expected recipient whose objects somebody deleted. A damaged document is reported
    elsewhere."""
    key = _key_of(recipient)
    if key + ADDED in listed:
        return
    if key not in listed:
        yield _wrapped(key, "is missing", recipient)
    effect = f"nothing is written to {recipient} any more"
    if plan_key:
        effect = f"contents are written to {recipient} because the plan names it, but the repository does not name it"
    yield KeyProblem(key + ADDED, "is missing", effect, _adding(recipient))


def _key_of(recipient: str) -> str:

    return KEYS + recipient_name(recipient)


def _here(cipher: AgeCipher) -> frozenset[str]:
    """The recipients of the identities on this host."""
    with suppress(KeyMissingError):
        return frozenset(identity.recipient for identity in cipher.identities)
    return frozenset()


def object_problem(
    cipher: AgeCipher, key: str, recipient: StoredRecipient | None = None, data: Buffer | None = None
) -> str:
    """What is wrong with one object; empty when nothing is, as far as the keys on this host can tell."""
    from backup_platform.repository.encryption.recipients import read_document

    if not NAMED.fullmatch(key):
        return "is not an object of a repository"
    with suppress(NotFoundError):
        data = cipher.store.get(key) if data is None else data
    if data is None:
        return "is missing"
    if key.startswith(REWRAPPED):
        return "" if is_named_by(key, data) else "is damaged"
    document = key.endswith((ADDED, RETIRED))
    try:
        if document:
            read_document(cipher.objects, key, data)
        else:
            _check_wrapped(cipher, key, data, recipient)
    except DamageError:
        return "is damaged or forged" if document else "is damaged"
    return ""


def _check_wrapped(cipher: AgeCipher, key: str, data: Buffer, recipient: StoredRecipient | None) -> None:
    """By the identity where it is here, else by the hash that its recipient's document gives, else by its form."""
    from backup_platform.repository.encryption import age

    header = age.whole_header(memoryview(data))
    if len(header.stanzas) != 1 or len(data) != header.length + age.stream_length(len(cipher.repository_key)):
        raise DamageError("It has the wrong form.")
    with suppress(KeyMissingError):
        for identity in cipher.identities:
            if recipient and identity.recipient == recipient.text:
                if bytes(age.decrypt(data, [identity]) or b"") != cipher.repository_key:
                    raise DamageError("It does not hold the repository key.")
                return
    if recipient and recipient.wrapped and digest(data).hex() != recipient.wrapped:
        raise DamageError("Its hash is not the one in its recipient's document.")


def _wrapped(key: str, what: str, recipient: str) -> KeyProblem:
    effect = f"the identity of {recipient} does not open the repository without the repository key"
    return KeyProblem(key, what, effect, (command("repair"), " makes it again"), recipient)


def _foreign(key: str, what: str) -> KeyProblem:
    """An object of a recipient that nobody here knows. Anybody who can write to the store can have written it."""
    adding = ("Else ", *_FROM_A_COPY, command("key", "add", "age1…"), " for the recipient")
    if what == "is missing":
        there = key.removesuffix(ADDED)
        effect = f"a `key add` was interrupted, or somebody else wrote {there}"
        deleting = f"If nobody knows the recipient, delete {there} with the tools of the store."
    else:
        effect = "it counts for nothing. If it was the object of a recipient, nothing is encrypted to that one any more"
        deleting = f"If nobody knows the recipient, {_DELETE_IT}."
    return KeyProblem(key, what, effect, joined(deleting, adding), foreign=True)


_FROM_A_COPY = (command("repair"), " takes it from a copy; else run ")
_TAKEN_OVER = "a host that writes was taken over then (docs/encryption.md)"
_DELETE_IT = "delete it with the tools of the store: somebody else wrote it"
_DELETE = "Delete it with the tools of the store, and ask who wrote it"


def _adding(recipient: str) -> Advice:
    return (*_FROM_A_COPY, command("key", "add", recipient))
