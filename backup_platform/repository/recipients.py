"""Who can open an encrypted repository: adding, retiring, listing, testing, rewrapping (FORMAT.md §9)."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from backup_platform.domain.model import Json
from backup_platform.errors import ConflictError, DamageError, NotFoundError, UsageError
from backup_platform.repository import age
from backup_platform.repository.encryption import AgeCipher, recipient_name
from backup_platform.repository.format import KEY_TESTS, KEYS, PACKS, sign, unsign
from backup_platform.repository.ledger import TIME
from backup_platform.repository.rewrapped import write_rewrapped

if TYPE_CHECKING:
    from backup_platform.repository.repository import Repository

ADDED, RETIRED = ".recipient", ".retired"


@dataclass(frozen=True, slots=True)
class StoredRecipient:
    """A recipient of a repository. `tested_at` is when an identity of it last opened the newest point."""

    text: str
    added_at: datetime
    retired_at: datetime | None = None
    tested_at: datetime | None = None

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
                hint="Give its public key, age1…: `age-keygen -y FILE` prints it.",
            ) from None
        raise UsageError(f"{text!r} is no recipient: it {error}.", hint="They look like age1…") from None


def read_recipients(cipher: AgeCipher) -> list[StoredRecipient]:
    """Also retired ones, oldest first. Raises DamageError for a document that is altered or belongs elsewhere."""
    keys = sorted(found.key for found in cipher.store.list(KEYS))
    retired = {
        document["recipient"]: _moment(document, "retired_at")
        for document in _documents(cipher, keys, RETIRED)
    }
    found = [
        StoredRecipient(each["recipient"], _moment(each, "added_at"), retired.get(each["recipient"]))
        for each in _documents(cipher, keys, ADDED)
    ]
    return sorted(found, key=lambda each: (each.added_at, each.text))


def _documents(cipher: AgeCipher, keys: list[str], suffix: str) -> Iterator[Mapping[str, Any]]:
    for key in keys:
        if not key.endswith(suffix):
            continue
        try:
            data = cipher.store.get(key)
        except NotFoundError as error:
            raise DamageError(f"The object {key} is not in the store any more.") from error
        _, document = unsign(key, cipher.unwrap(key, data), cipher.hash)
        recipient = document.get("recipient")
        place = isinstance(recipient, str) and key == KEYS + recipient_name(recipient) + suffix
        if not place or document.get("repository") != cipher.info.id:
            raise DamageError(f"The object {key} belongs elsewhere: somebody moved or copied it.")
        yield document


def _moment(document: Mapping[str, Any], name: str) -> datetime:
    try:
        return datetime.fromisoformat(document[name])
    except (KeyError, TypeError, ValueError) as error:
        raise DamageError(f"A recipient's document has no {name}.") from error


def add_recipient(cipher: AgeCipher, recipient: age.Recipient, now: datetime) -> StoredRecipient:
    """From now on new packs are written to it, too. Raises ConflictError for one that is there, or was retired."""
    for known in read_recipients(cipher):
        if known.text == recipient.text:
            state = "was retired, and does not come back" if known.retired_at else "is there already"
            raise ConflictError(
                f"The recipient {recipient.text} {state}.", hint="`backup-platform key list` shows all."
            )
    name = recipient_name(recipient.text)
    wrapped, _ = age.encrypt(cipher.repository_key, [recipient])
    with suppress(ConflictError):  # left by a call that was interrupted; `key test` proves that it opens
        cipher.store.create(KEYS + name, wrapped)
    _record(cipher, KEYS + name + ADDED, {"added_at": now.isoformat(), "recipient": recipient.text})
    return StoredRecipient(recipient.text, now)


def retire_recipient(cipher: AgeCipher, text: str, now: datetime) -> StoredRecipient:
    """New packs are not written to it any more. Raises NotFoundError, UsageError for the last one."""
    known = read_recipients(cipher)
    found = next((each for each in known if each.text == text), None)
    if found is None:
        raise NotFoundError(
            f"The repository has no recipient {text}.", hint="`backup-platform key list` shows all."
        )
    if found.retired_at:
        return found
    if not any(each.text != text and not each.retired_at for each in known):
        raise UsageError(
            "That is the last recipient: nobody could read what is written after it.",
            hint="Add another one first: `backup-platform key add age1…`.",
        )
    _record(cipher, KEYS + found.name + RETIRED, {"recipient": text, "retired_at": now.isoformat()})
    return replace(found, retired_at=now)


def _record(cipher: AgeCipher, key: str, document: dict[str, Json]) -> None:
    _, data = sign({**document, "repository": cipher.info.id}, cipher.hash)
    cipher.store.create(key, cipher.wrap(key, data).stored)


def list_recipients(cipher: AgeCipher) -> list[StoredRecipient]:
    """With the times of their last tests that passed."""
    tested: dict[str, datetime] = {}
    for name, at, passed in _tests(cipher):
        if passed:
            tested[name] = max(at, tested.get(name, at))
    return [replace(each, tested_at=tested.get(each.name)) for each in read_recipients(cipher)]


def _tests(cipher: AgeCipher) -> Iterator[tuple[str, datetime, bool]]:
    for found in cipher.store.list(KEY_TESTS):
        name, _, test = found.key.removeprefix(KEY_TESTS).partition("/")
        at, _, rest = test.partition("-")
        with suppress(ValueError):
            yield name, datetime.strptime(at, TIME).replace(tzinfo=UTC), rest.startswith("passed-")


def record_test(cipher: AgeCipher, recipient: str, point: str, now: datetime) -> None:
    """That an identity opened the newest point, in the ledger."""
    at = now.astimezone(UTC)
    name = recipient_name(recipient)
    key = f"{KEY_TESTS}{name}/{at.strftime(TIME)}-passed-{secrets.token_hex(4)}"
    _record(cipher, key, {"at": at.isoformat(), "passed": True, "point": point, "recipient": recipient})


def rewrap(repository: Repository, cipher: AgeCipher) -> int:
    """Make every pack readable for all recipients of now; how many packs. Needs an identity that opens them all.

    Raises KeyMissingError, DamageError; what was written until then is valid.
    """
    cipher.require_contents()
    active = [age.Recipient(each.text) for each in read_recipients(cipher) if not each.retired_at]
    sizes = {key: size for key, size in repository.list_packs().items() if key.startswith(PACKS)}
    entries = (
        (bytes.fromhex(key[-64:]), cipher.pack_file_key(key, size)) for key, size in sorted(sizes.items())
    )
    return write_rewrapped(cipher.store, entries, active)
