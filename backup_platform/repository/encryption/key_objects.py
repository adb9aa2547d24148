"""The objects below `keys/`: what is wrong with each of them, and what to do about it (FORMAT.md §9)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backup_platform.advice import Advice, Hint, command, joined, written
from backup_platform.domain.ports import Buffer, Cipher
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
    help. `decides` means that the object is sound, and that only a person can decide whether it is right."""

    key: str
    what: str
    effect: str
    advice: Hint
    recipient: str = ""
    decides: bool = False

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

    listed = set(listed_keys(cipher.objects))
    known, unexpected = _look(cipher, listed)
    told = {problem.key for problem in unexpected}
    by_name = {each.name: each for each in known}
    texts = _here(cipher) | {each.name: each.text for each in known}
    for key in sorted(listed):
        if what := object_problem(cipher, key, by_name.get(key.removeprefix(KEYS))):
            yield _described(key, what, texts)
    yield from (_described(key, "is missing", texts) for key in sorted(_lacking(listed) - told))
    yield from unexpected


def unexpected_recipients(cipher: Cipher) -> list[KeyProblem]:
    """Where an encrypted repository names other recipients than the plan or this host. Nothing else is checked. After a
    backup this needs no listing, because the listing that was made when its recipients were chosen is used."""
    from backup_platform.repository.encryption.age_cipher import AgeCipher
    from backup_platform.repository.encryption.recipients import listed_keys

    if not isinstance(cipher, AgeCipher):
        return []
    return _look(cipher, cipher.listed or listed_keys(cipher.objects))[1]


def _look(cipher: AgeCipher, listed: Collection[str]) -> tuple[list[StoredRecipient], list[KeyProblem]]:
    """Of the objects below `keys/`: the recipients that can be read, and those that nobody here expects."""
    from backup_platform.repository.encryption.recipients import readable_recipients

    known, damaged = readable_recipients(cipher.objects, listed)
    return known, _unexpected(cipher, listed, known, whole=not damaged)


def _unexpected(
    cipher: AgeCipher, listed: Collection[str], known: Sequence[StoredRecipient], *, whole: bool
) -> list[KeyProblem]:
    if cipher.known_recipients is None:
        return []
    active = [each.text for each in known if not each.retired_at]
    expected = cipher.known_recipients.expected(active, whole=whole)
    retired = {each.text for each in known if each.retired_at}
    lacking = expected.lacking(active)
    return [
        *(_added(text, expected.plan_key) for text in expected.unknown(active)),
        *(_retired(text, expected.plan_key) for text in lacking if text in retired),
        *(each for text in lacking if text not in retired for each in _lost(text, listed, expected.plan_key)),
    ]


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
        yield _described(key, "is missing", {key.removeprefix(KEYS): recipient})
    effect = f"nothing is written to {recipient} any more"
    if plan_key:
        effect = f"contents are written to {recipient} because the plan names it, but the repository does not name it"
    yield KeyProblem(key + ADDED, "is missing", effect, _adding(recipient))


def _key_of(recipient: str) -> str:

    return KEYS + recipient_name(recipient)


def _here(cipher: AgeCipher) -> dict[str, str]:
    """The recipients of the identities on this host, by their names."""
    with suppress(KeyMissingError):
        return {recipient_name(identity.recipient): identity.recipient for identity in cipher.identities}
    return {}


def _lacking(listed: Collection[str]) -> set[str]:
    """Each recipient has its wrapped key, and each wrapped key and retirement its recipient."""
    names = {key.removesuffix(ADDED).removesuffix(RETIRED) for key in listed if NAMED.fullmatch(key)}
    named = {name for name in names if WRAPPED.fullmatch(name)}
    return (named | {name + ADDED for name in named}) - set(listed)


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
        return "is damaged or belongs elsewhere" if document else "is damaged"
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


def _described(key: str, what: str, known: Mapping[str, str]) -> KeyProblem:
    """`known` are recipients by their names."""
    recipient = known.get(key.removeprefix(KEYS).removesuffix(ADDED).removesuffix(RETIRED), "")
    if not NAMED.fullmatch(key):
        return KeyProblem(key, what, "nothing reads it", "Delete it in the store, and ask who wrote it")
    if key.startswith(REWRAPPED):
        effect = "packs that were stored before a recipient was added may not open for it"
        return KeyProblem(key, what, effect, (*_FROM_A_COPY, command("key", "rewrap")))
    if key.endswith(RETIRED):
        effect = "whether that recipient was retired is not known, so no backup is written"
        retiring = command("key", "retire", recipient or "age1…")
        return KeyProblem(key, what, effect, (*_FROM_A_COPY, retiring))
    if key.endswith(ADDED):
        return KeyProblem(key, what, _without_document(what), _adding(recipient))
    effect = f"the identity of {recipient or 'that recipient'} does not open the repository without the repository key"
    if not recipient:
        return KeyProblem(key, what, effect, _adding(recipient))
    return KeyProblem(key, what, effect, (command("repair"), " makes it again"), recipient)


_FROM_A_COPY = (command("repair"), " takes it from a copy; else run ")
_TAKEN_OVER = "a host that writes was taken over then (docs/encryption.md)"


def _adding(recipient: str) -> Advice:
    if recipient:
        return (*_FROM_A_COPY, command("key", "add", recipient))
    return (
        *_FROM_A_COPY,
        command("key", "add", "age1…"),
        " for the recipient. If nobody knows this recipient, somebody else wrote the object: delete it in the store",
    )


def _without_document(what: str) -> str:
    if what == "is missing":
        return "nothing is written to that recipient, or a `key add` was interrupted"
    return "the recipient that it names is not known, so no backup is written"
