"""Who can open an encrypted repository: adding, retiring, listing, testing, rewrapping (FORMAT.md §9)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import BytesIO
from typing import TYPE_CHECKING, Any

from blake3 import blake3

from backup_platform.advice import command, shell
from backup_platform.domain.limits import MAX_RECIPIENTS
from backup_platform.domain.model import Json
from backup_platform.domain.ports import Buffer
from backup_platform.errors import ConflictError, DamageError, NotFoundError, UsageError
from backup_platform.repository.encryption import age
from backup_platform.repository.encryption.age_cipher import AgeCipher, recipient_name
from backup_platform.repository.encryption.key_objects import ADDED, RETIRED
from backup_platform.repository.encryption.rewrapped import write_rewrapped
from backup_platform.repository.objects.canonical import sign, unsign
from backup_platform.repository.objects.documents import instant
from backup_platform.repository.objects.names import KEY_TESTS, KEYS, digest
from backup_platform.repository.objects.record_names import TIME, RecordNames, moment_of

if TYPE_CHECKING:
    from backup_platform.repository.repository import Repository

KEY_TEST = re.compile(
    rf"{KEY_TESTS}(?P<name>[0-9a-f]{{64}})/[0-9T.]+Z-(?P<verdict>passed|failed)-[0-9a-f]{{8}}"
)
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


def parse_recipient(text: str) -> age.Recipient:
    """Raises UsageError. Takes care not to show an identity that was given by mistake."""
    try:
        return age.Recipient(text)
    except ValueError as error:
        if "secret-key" in text.lower():
            raise UsageError(
                "That is an identity (a private key) and no recipient. It is now in your shell's history: replace it.",
                hint=("Give its public key, age1…: ", shell("age-keygen", "-y", "FILE"), " prints it."),
            ) from None
        raise UsageError(f"{text!r} is no recipient: it {error}.", hint="They look like age1…") from None


def read_recipients(cipher: AgeCipher) -> list[StoredRecipient]:
    """Also retired ones, oldest first. Raises DamageError for a document that is altered or belongs elsewhere."""
    found, problems = readable_recipients(cipher, [each.key for each in cipher.store.list(KEYS)])
    if problems:
        error = problems[min(problems)]
        raise DamageError(f"{error.message} What recipients there are is not known.", hint=MEND) from error
    return found


def recipients_to_write(cipher: AgeCipher) -> list[str]:
    """Whom new contents are written to: those of the plan, whatever the repository says, else its own.

    Raises DamageError, and RecipientsChangedError where it names none any more that this host knows.
    """
    known = cipher.known_recipients
    if known and known.pinned:
        return list(known.pinned)
    active = [each.text for each in read_recipients(cipher) if not each.retired_at]
    return known.expected(active, whole=True).to_write(active) if known else active


def readable_recipients(
    cipher: AgeCipher, keys: Iterable[str]
) -> tuple[list[StoredRecipient], dict[str, DamageError]]:
    """Of listed objects, and what is wrong with those documents that are damaged."""
    documents: dict[str, Mapping[str, Any]] = {}
    problems: dict[str, DamageError] = {}
    for key in sorted(key for key in keys if key.endswith((ADDED, RETIRED))):
        try:
            documents[key] = read_document(cipher, key)
        except DamageError as error:
            problems[key] = error
    found = [
        _stored(document, documents.get(key.removesuffix(ADDED) + RETIRED))
        for key, document in documents.items()
        if key.endswith(ADDED)
    ]
    return sorted(found, key=lambda each: (each.added_at, each.text)), problems


def _stored(added: Mapping[str, Any], retired: Mapping[str, Any] | None) -> StoredRecipient:
    return StoredRecipient(
        added["recipient"],
        instant(added["added_at"]),
        instant(retired["retired_at"]) if retired else None,
        wrapped=added.get("wrapped", ""),
    )


def read_document(cipher: AgeCipher, key: str, data: Buffer | None = None) -> Mapping[str, Any]:
    """Of a recipient: `….recipient` or `….retired`. Raises DamageError unless it is this repository's, in its place."""
    try:
        _, document = unsign(
            key, cipher.unwrap(key, cipher.store.get(key) if data is None else data), cipher.hash
        )
    except NotFoundError as error:
        raise DamageError(
            f"The object {key} is not in the store any more.", subject=key, missing=True
        ) from error
    recipient, suffix = document.get("recipient"), ADDED if key.endswith(ADDED) else RETIRED
    place = isinstance(recipient, str) and key == KEYS + recipient_name(recipient) + suffix
    if not place or document.get("repository") != cipher.info.id:
        raise DamageError(f"The object {key} belongs elsewhere: somebody moved or copied it.", subject=key)
    _moment(document, "added_at" if suffix == ADDED else "retired_at")
    return document


def _moment(document: Mapping[str, Any], name: str) -> datetime:
    try:
        return instant(document[name])
    except (KeyError, TypeError, ValueError) as error:
        raise DamageError(f"A recipient's document has no {name}.") from error


def wrapped_key(cipher: AgeCipher, recipient: age.Recipient) -> bytes:
    """`keys/<name>`: the repository key for one recipient. Whoever has the key makes the same bytes again."""
    secret = blake3(
        cipher.repository_key + recipient.text.encode(), derive_key_context="backup_platform 1 wrapped key"
    )
    return bytes(age.encrypt(cipher.repository_key, [recipient], BytesIO(secret.digest(length=64)).read)[0])


def add_recipient(cipher: AgeCipher, recipient: age.Recipient, now: datetime) -> StoredRecipient:
    """From now on new packs are written to it, too. A document of it that is damaged is written anew.

    Raises ConflictError for one that is there, or was retired.
    """
    listed = [each.key for each in cipher.store.list(KEYS)]
    known, problems = readable_recipients(cipher, listed)
    for each in known:
        if each.text == recipient.text:
            state = "was retired, and does not come back" if each.retired_at else "is there already"
            raise ConflictError(
                f"The recipient {recipient.text} {state}.", hint=(command("key", "list"), " shows all.")
            )
    if sum(not each.retired_at for each in known) >= MAX_RECIPIENTS:
        raise UsageError(
            f"The repository has {MAX_RECIPIENTS} recipients, and packs can be written to no more.",
            hint=("Retire one first: ", command("key", "retire", "age1…"), "."),
        )
    name, wrapped = recipient_name(recipient.text), wrapped_key(cipher, recipient)
    put_key(cipher, KEYS + name, wrapped)
    key = KEYS + name + ADDED
    document: dict[str, Json] = {
        "added_at": now.isoformat(),
        "recipient": recipient.text,
        "wrapped": digest(wrapped).hex(),
    }
    _record(cipher, key, document, anew=key in problems)
    return StoredRecipient(recipient.text, now, wrapped=digest(wrapped).hex())


def put_key(cipher: AgeCipher, key: str, data: bytes) -> None:
    """An object that is what it must be, whatever is there: an interrupted call, or somebody else, left it."""
    try:
        cipher.store.create(key, data)
    except ConflictError:
        if bytes(cipher.store.get(key)) != data:
            cipher.store.replace(key, data)


def retire_recipient(cipher: AgeCipher, text: str, now: datetime) -> StoredRecipient:
    """New packs are not written to it any more. Raises NotFoundError, UsageError for the last one."""
    known, problems = readable_recipients(cipher, [each.key for each in cipher.store.list(KEYS)])
    found = next((each for each in known if each.text == text), None)
    if found is None:
        raise NotFoundError(
            f"The repository has no recipient {text}.", hint=(command("key", "list"), " shows all.")
        )
    if found.retired_at:
        return found
    if not any(each.text != text and not each.retired_at for each in known):
        raise UsageError(
            "That is the last recipient: nobody could read what is written after it.",
            hint=("Add another one first: ", command("key", "add", "age1…"), "."),
        )
    key = KEYS + found.name + RETIRED
    _record(cipher, key, {"recipient": text, "retired_at": now.isoformat()}, anew=key in problems)
    return replace(found, retired_at=now)


def _record(cipher: AgeCipher, key: str, document: dict[str, Json], *, anew: bool = False) -> None:
    _, data = sign({**document, "repository": cipher.info.id}, cipher.hash)
    stored = cipher.wrap(key, data).stored
    if anew:
        cipher.store.replace(key, stored)
    else:
        cipher.store.create(key, stored)


def list_recipients(cipher: AgeCipher) -> list[StoredRecipient]:
    """Those whose documents are sound, with the times of their last tests that passed."""
    tested: dict[str, datetime] = {}
    for name, at, passed in _tests(cipher):
        if passed:
            tested[name] = max(at, tested.get(name, at))
    known, _ = readable_recipients(cipher, [each.key for each in cipher.store.list(KEYS)])
    return [replace(each, tested_at=tested.get(each.name)) for each in known]


def _tests(cipher: AgeCipher) -> Iterator[tuple[str, datetime, bool]]:
    for record in _names(cipher).all(cipher.store.list(KEY_TESTS)):
        match, at = KEY_TEST.fullmatch(record.says), moment_of(record.says)
        if record.counts and match and at:
            yield match["name"], at, match["verdict"] == "passed"


def read_test(cipher: AgeCipher, key: str) -> None:
    """Raises DamageError unless the document of a test is authentic, and says what its name says."""
    try:
        stored = cipher.store.get(key)
    except NotFoundError as error:
        raise DamageError(
            f"The object {key} is not in the store any more.", subject=key, missing=True
        ) from error
    _, document = unsign(key, cipher.unwrap(key, stored), cipher.hash)
    match, at = KEY_TEST.fullmatch(key), moment_of(key)
    told = match and at and (match["name"], match["verdict"] == "passed", at.isoformat(), cipher.info.id)
    name = recipient_name(str(document.get("recipient")))
    if told != (name, document.get("passed"), document.get("at"), document.get("repository")):
        raise DamageError(f"The object {key} belongs elsewhere: somebody moved or copied it.", subject=key)


def _names(cipher: AgeCipher) -> RecordNames:
    return RecordNames.of(cipher, cipher.info.id)


def record_test(cipher: AgeCipher, recipient: str, point: str, now: datetime) -> None:
    """That an identity opened the newest point, in the ledger."""
    at = now.astimezone(UTC)
    name = recipient_name(recipient)
    says = f"{KEY_TESTS}{name}/{at.strftime(TIME)}-passed-{secrets.token_hex(4)}"
    _record(
        cipher,
        _names(cipher).name(says),
        {"at": at.isoformat(), "passed": True, "point": point, "recipient": recipient},
    )


def rewrap(repository: Repository, cipher: AgeCipher) -> int:
    """Make every pack readable for all recipients of now; how many packs. Needs an identity that opens them all.

    Raises KeyMissingError, DamageError; what was written until then is valid.
    """
    cipher.require_contents()
    active = [age.Recipient(text) for text in recipients_to_write(cipher)]
    sizes = {key: size for key, size in repository.list_packs().items() if not key.meta}
    entries = ((key.id.hash, cipher.pack_file_key(key, size)) for key, size in sorted(sizes.items()))
    return write_rewrapped(cipher.store, entries, active)
