"""Who can open an encrypted repository: reading, adding and retiring recipients (FORMAT.md §9)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from io import BytesIO

from blake3 import blake3

from backup_platform.advice import command, shell
from backup_platform.domain.limits import MAX_RECIPIENTS
from backup_platform.domain.model import Json
from backup_platform.domain.ports import Buffer
from backup_platform.domain.recipients import KnownRecipients
from backup_platform.errors import (
    ConflictError,
    DamageError,
    NotFoundError,
    RecipientsChangedError,
    RepositoryError,
    UsageError,
)
from backup_platform.repository.encryption import age
from backup_platform.repository.objects.documents import SignedDocument, misplaced
from backup_platform.repository.objects.names import ADDED, KEYS, RETIRED, digest, recipient_name
from backup_platform.repository.objects.objects import Objects

MEND = (command("repair"), " shows what is wrong below keys/, and puts back what can be.")


@dataclass(frozen=True, slots=True)
class StoredRecipient:
    """A recipient of a repository. `tested_at` is when an identity of it last opened the newest point, `wrapped` the
    hash of its `keys/<name>`; empty where an older version of this program added it."""

    text: str
    added_at: datetime
    retired_at: datetime | None = None
    tested_at: datetime | None = None
    wrapped: str = ""

    @property
    def name(self) -> str:
        return recipient_name(self.text)


@dataclass(frozen=True, slots=True)
class NamedRecipients:
    """The recipients that a repository names: `active` are those of authentic documents that are not retired. The
    `doubted` ones among them have a note of their retirement that is not authentic. `damaged` says what is wrong with
    documents, by their keys."""

    active: list[str]
    doubted: frozenset[str]
    damaged: Mapping[str, DamageError]

    @classmethod
    def read(cls, objects: Objects, listed: Iterable[str]) -> NamedRecipients:
        found, damaged = readable_recipients(objects, listed)
        active = [each for each in found if not each.retired_at]
        doubted = (each.text for each in active if KEYS + each.name + RETIRED in damaged)
        return cls([each.text for each in active], frozenset(doubted), damaged)

    @property
    def whole(self) -> bool:
        return not self.damaged

    def usable(self, texts: list[str]) -> list[str]:
        """The same texts. Raises DamageError if there are none and documents are damaged."""
        if self.damaged and not texts:
            error = self.damaged[min(self.damaged)]
            raise DamageError(f"{error.message} No sound document names a recipient.", hint=MEND) from error
        return texts


def parse_recipient(text: str) -> age.Recipient:
    """Raises UsageError. Takes care not to show an identity that was given by mistake."""
    try:
        return age.Recipient(text)
    except ValueError as error:
        if "secret-key" in text.lower():
            raise UsageError(
                "That is an identity (a private key), not a recipient. It is now in your shell's history: replace it.",
                hint=("Give its public key, age1…: ", shell("age-keygen", "-y", "FILE"), " prints it."),
            ) from None
        raise UsageError(f"{text!r} is not a recipient: it {error}.", hint="They look like age1…") from None


def parse_recipients(texts: Sequence[str]) -> list[age.Recipient]:
    """Those of one age file. Raises UsageError, and RecipientsChangedError if there are too many (FORMAT.md §12)."""
    if len(texts) > MAX_RECIPIENTS:
        raise RecipientsChangedError(
            f"The repository names {len(texts)} recipients that are not retired, and data can be encrypted to at most "
            f"{MAX_RECIPIENTS}.",
            hint=(
                "Write the right ones as `recipients` of the repository into the plan: then data is encrypted to "
                "nobody else. Or retire the others: ",
                command("key", "list"),
                " shows all, and ",
                command("key", "retire", "age1…"),
                " retires one. This program adds no more than that number. So somebody who has the repository key may "
                "have added them with another program: see docs/encryption.md.",
            ),
        )
    return [parse_recipient(text) for text in texts]


def listed_keys(objects: Objects) -> list[str]:
    """What is stored below `keys/`."""
    return [found.key for found in objects.store.list(KEYS)]


def recipients_to_write(objects: Objects, known: KnownRecipients | None, listed: Iterable[str]) -> list[str]:
    """The recipients of new contents: those of the plan, whatever the repository says, or else those of the
    repository. A document that is not authentic counts for nothing. Raises RecipientsChangedError if this host knows
    none of the repository's recipients, and DamageError if the documents that are left are all damaged."""
    if known and known.pinned:
        return list(known.pinned)
    named = NamedRecipients.read(objects, listed)
    expected = known.expected(named.active, whole=named.whole) if known else None
    return named.usable(expected.to_write(named.active, named.doubted) if expected else named.active)


def recipients_to_rewrap(
    objects: Objects, known: KnownRecipients | None, listed: Iterable[str], named: Sequence[str]
) -> list[str]:
    """The recipients for whom older contents are made readable: the `named` ones, or else those of the plan, or else
    those of the repository that this host knows. Raises DamageError; RecipientsChangedError if this host knows none
    of them; UsageError for a named one that the plan or the repository does not name."""
    if known and known.first_use:
        known.chosen(())  # nobody has looked at what was remembered a moment ago
    there = NamedRecipients.read(objects, listed)
    if named:
        return _checked(named, there.active, known)
    if known is None:
        return there.usable(there.active)
    if known.pinned:
        return list(known.pinned)
    if known.first_use:
        raise _unknown(there.active)
    return known.expected(there.active, whole=there.whole).to_rewrap(there.active, there.doubted)


def _checked(named: Sequence[str], active: Sequence[str], known: KnownRecipients | None) -> list[str]:
    pinned = known.pinned if known else ()
    for text in named:
        parse_recipient(text)
        if text not in active:
            raise UsageError(
                f"The repository names no recipient {text}, or it was retired.",
                hint=(command("key", "list"), " shows all."),
            )
        if pinned and text not in pinned:
            raise UsageError(
                f"The plan names recipients, and {text} is not one of them.",
                hint="If it is to read everything that is stored, add it to `recipients` of the plan first.",
            )
    if known:
        known.chosen(named)
    return list(dict.fromkeys(named))


def _unknown(active: Sequence[str]) -> RecipientsChangedError:
    return RecipientsChangedError(
        "This host does not know the recipients of the repository. Any host with the repository key may have added "
        f"one, and the recipients would be able to read everything that is stored: {', '.join(sorted(active))}.",
        hint=(
            "Compare them with the recovery sheet. Then write the right ones as `recipients` of the repository into "
            "the plan, or name them: ",
            command("key", "rewrap", "age1…", "age1…"),
            ".",
        ),
    )


def meet_recipients(objects: Objects, known: KnownRecipients) -> None:
    """Let this host remember the recipients at its first use of a repository. A store that does not show them now is
    asked again at the next use."""
    if known.pinned:
        known.expected((), whole=False)
    elif known.first_use:
        with suppress(RepositoryError):
            named = NamedRecipients.read(objects, listed_keys(objects))
            known.expected(named.active, whole=named.whole)


def readable_recipients(
    objects: Objects, keys: Iterable[str]
) -> tuple[list[StoredRecipient], dict[str, DamageError]]:
    """The recipients among the listed objects, and what is wrong with damaged documents."""
    documents: dict[str, SignedDocument] = {}
    problems: dict[str, DamageError] = {}
    for key in sorted(key for key in keys if key.endswith((ADDED, RETIRED))):
        try:
            documents[key] = read_document(objects, key)
        except DamageError as error:
            problems[key] = error
    found = [
        _stored(document, documents.get(key.removesuffix(ADDED) + RETIRED))
        for key, document in documents.items()
        if key.endswith(ADDED)
    ]
    return sorted(found, key=lambda each: (each.added_at, each.text)), problems


def _stored(added: SignedDocument, retired: SignedDocument | None) -> StoredRecipient:
    said = added.fields
    return StoredRecipient(
        said.text("recipient"),
        said.instant("added_at"),
        retired.fields.instant("retired_at") if retired else None,
        wrapped=said.values.get("wrapped", ""),
    )


def read_document(objects: Objects, key: str, data: Buffer | None = None) -> SignedDocument:
    """A document of a recipient: `….recipient` or `….retired`. Raises DamageError unless it belongs to this repository
    and to this key."""
    stored = objects.get(key) if data is None else data
    document = objects.codec.decode(key, objects.cipher.unwrap(key, stored))
    recipient, suffix = document.fields.values.get("recipient"), ADDED if key.endswith(ADDED) else RETIRED
    if not isinstance(recipient, str) or key != KEYS + recipient_name(recipient) + suffix:
        raise misplaced(key)
    document.decoded(lambda said: said.instant("added_at" if suffix == ADDED else "retired_at"))
    try:
        age.Recipient(recipient)
    except ValueError as error:
        raise DamageError(
            f"The recipient that the object {key} names is not a public key.", subject=key
        ) from error
    return document


def wrapped_key(objects: Objects, recipient: age.Recipient) -> bytes:
    """`keys/<name>`: the repository key for one recipient. Whoever has the key makes the same bytes again."""
    secret = blake3(
        objects.cipher.secret + recipient.text.encode(), derive_key_context="backup_platform 1 wrapped key"
    )
    return bytes(age.encrypt(objects.cipher.secret, [recipient], BytesIO(secret.digest(length=64)).read)[0])


def add_recipient(objects: Objects, recipient: age.Recipient, now: datetime) -> StoredRecipient:
    """From now on new packs are encrypted to this recipient, too. Its document is written again if it is damaged.
    Raises ConflictError if the recipient exists already, or was retired."""
    known, problems = readable_recipients(objects, listed_keys(objects))
    for each in known:
        if each.text == recipient.text:
            state = "was retired, and cannot be added again" if each.retired_at else "is there already"
            raise ConflictError(
                f"The recipient {recipient.text} {state}.", hint=(command("key", "list"), " shows all.")
            )
    if (count := sum(not each.retired_at for each in known)) >= MAX_RECIPIENTS:
        raise UsageError(
            f"The repository has {count} recipients that are not retired. The limit is {MAX_RECIPIENTS}.",
            hint=("Retire one first: ", command("key", "retire", "age1…"), "."),
        )
    name, wrapped = recipient_name(recipient.text), wrapped_key(objects, recipient)
    put_key(objects, KEYS + name, wrapped)
    key = KEYS + name + ADDED
    document: dict[str, Json] = {
        "added_at": now.isoformat(),
        "recipient": recipient.text,
        "wrapped": digest(wrapped).hex(),
    }
    objects.write_document(key, document, anew=key in problems)
    return StoredRecipient(recipient.text, now, wrapped=digest(wrapped).hex())


def put_key(objects: Objects, key: str, data: bytes) -> None:
    """Write an object with its right content, whatever is there: an interrupted call or an attacker may have left
    something."""
    try:
        objects.store.create(key, data)
    except ConflictError:
        if bytes(objects.store.get(key)) != data:
            objects.store.replace(key, data)


def retire_recipient(objects: Objects, text: str, now: datetime) -> StoredRecipient:
    """New packs are not written to it any more. Raises NotFoundError, UsageError for the last one."""
    known, problems = readable_recipients(objects, listed_keys(objects))
    found = next((each for each in known if each.text == text), None)
    if found is None:
        raise NotFoundError(
            f"The repository has no recipient {text}.", hint=(command("key", "list"), " shows all.")
        )
    if found.retired_at:
        return found
    if not any(each.text != text and not each.retired_at for each in known):
        raise UsageError(
            "That is the last recipient: without one, nobody could read new contents.",
            hint=("Add another one first: ", command("key", "add", "age1…"), "."),
        )
    key = KEYS + found.name + RETIRED
    document: dict[str, Json] = {"recipient": text, "retired_at": now.isoformat()}
    objects.write_document(key, document, anew=key in problems)
    return replace(found, retired_at=now)
