"""The cipher of an encrypted repository: keyed names, sealed metadata, contents as age files (FORMAT.md §9)."""

from __future__ import annotations

import hmac
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from blake3 import blake3

from backup_platform.advice import command
from backup_platform.domain.limits import MAX_HEADER, stored_limit
from backup_platform.domain.ports import Buffer, Clock, Part, Store, Wrapped
from backup_platform.domain.recipients import KnownRecipients
from backup_platform.errors import DamageError, KeyMissingError, NotFoundError
from backup_platform.repository.encryption import age
from backup_platform.repository.encryption.key_files import KEY_VARIABLE, Keys
from backup_platform.repository.encryption.recipients import (
    StoredRecipient,
    listed_keys,
    parse_recipients,
    readable_recipients,
    recipients_to_rewrap,
    recipients_to_write,
)
from backup_platform.repository.encryption.rewrapped import RewrappedKeys, write_rewrapped
from backup_platform.repository.encryption.sealing import (
    HEAD,
    Secrets,
    key_id,
    open_sealed,
    seal,
    sealed_stream,
    unseal,
)
from backup_platform.repository.objects.info import RepositoryInfo
from backup_platform.repository.objects.names import (
    ADDED,
    KEYS,
    PACKS,
    REWRAPPED,
    PackKey,
    StoredPack,
    is_named_by,
    recipient_name,
)
from backup_platform.repository.objects.objects import Objects

HEADER_GUESS = 4 << 10
PACKS_TRIED = 30


class AgeCipher:
    """`ports.Cipher`. Holds the repository key, and reads identities when they are needed.

    `known_recipients` tells what the plan and this host know of its recipients; None: only the repository itself does.
    `listed` are the objects below `keys/` when recipients were last chosen; empty before.
    """

    name = "age-v1"

    def __init__(
        self, info: RepositoryInfo, store: Store, keys: Keys, repository_key: bytes, clock: Clock
    ) -> None:
        self.info, self.store, self.keys = info, store, keys
        self.repository_key = repository_key
        self._secrets = Secrets.of(repository_key)
        self.objects = Objects(store, self, info, clock)
        self.chunking_seed = self._secrets.chunking
        self.known_recipients: KnownRecipients | None = None
        self.listed: Sequence[str] = ()
        self._recipients: Sequence[age.Recipient] = ()
        self._identities: Sequence[age.Identity] | None = None
        self._rewrapped: RewrappedKeys | None = None
        self._lock = threading.Lock()

    @classmethod
    def open(cls, info: RepositoryInfo, store: Store, keys: Keys, clock: Clock) -> AgeCipher:
        """With the repository key, else with an identity. Raises KeyMissingError."""
        key = keys.repository_key()
        if key is None:
            identities = keys.identities()
            if not identities:
                raise keys.missing_key(store.location)
            key = _unlock(info, store, identities)
        if not hmac.compare_digest(key_id(key), info.key_id):
            where = keys.key.origin if keys.key else "its own keys"
            raise KeyMissingError(
                f"The repository key in {where} does not belong to the repository at {store.location}.",
                hint="Name the key file that init wrote for this repository.",
            )
        return cls(info, store, keys, key, clock)

    @property
    def secret(self) -> bytes:
        return self.repository_key

    def hash(self, data: Buffer) -> bytes:
        return blake3(data, key=self._secrets.blobs).digest()

    # Keys to contents

    @property
    def identities(self) -> Sequence[age.Identity]:
        """The identities on this host. Raises KeyMissingError for a file that is not an identity file."""
        if self._identities is None:
            self._identities = self.keys.identities()
        return self._identities

    @property
    def reads_contents(self) -> bool:
        return bool(self.identities)

    def alone(self, identity: age.Identity) -> AgeCipher:
        """The same repository with one identity, which opens its key. Raises KeyMissingError, DamageError."""
        key = _unlock(self.info, self.store, [identity])
        cipher = AgeCipher(self.info, self.store, self.keys, key, self.objects.clock)
        cipher._identities = [identity]
        return cipher

    def require_contents(self) -> None:
        """Raises KeyMissingError if contents cannot be opened, and StoreError. Objects below `keys/` are not needed,
        because packs show their recipients."""
        if not self.identities:
            raise self.keys.missing_identity(self.store.location, self._needed())
        known = {recipient.text for recipient in self._known_recipients()}
        if any(identity.recipient in known for identity in self.identities) or self._opens_some_pack():
            return
        raise self._wrong_identity(f"the repository at {self.store.location}")

    def _known_recipients(self) -> list[StoredRecipient]:
        return readable_recipients(self.objects, listed_keys(self.objects))[0]

    def _opens_some_pack(self) -> bool:
        """Of packs spread over the time in which they were stored, the newest and the oldest too; of none any does."""
        packs = sorted(self.store.list(PACKS), key=lambda found: (found.modified, found.key), reverse=True)
        step = max(1, (len(packs) - 1) // PACKS_TRIED)
        tried = {found.key: found.size for found in [*packs[::step], *packs[-1:]]}
        return not packs or any(self._opens(key, size) for key, size in tried.items())

    def _opens(self, key: str, size: int) -> bool:
        try:
            header = _read_header(size, partial(self.store.get_range, key))
            return self._file_key(key, header) is not None
        except (DamageError, NotFoundError):
            return False

    def _needed(self) -> str:
        """The recipients whose identities would help, without those on this host."""
        here = {identity.recipient for identity in self.identities}
        texts = [recipient.text for recipient in self._known_recipients() if recipient.text not in here]
        return ("one of " if len(texts) > 1 else "") + (", ".join(texts[:5]) or "an older recipient")

    def _wrong_identity(self, what: str) -> KeyMissingError:
        here = ", ".join(identity.recipient for identity in self.identities)
        return KeyMissingError(
            f"The identities on this host ({here}) do not open {what}. It needs the identity of {self._needed()}.",
            hint=(
                "Name another identity file. If the recipient was added later, somebody with an older identity runs ",
                command("key", "rewrap"),
                " once.",
            ),
        )

    def prepare_writing(self) -> None:
        recipients = self._recipients_to_write()
        if not recipients:
            raise KeyMissingError(
                f"The repository at {self.store.location} has no recipient to write contents to.",
                hint=("Add one: ", command("key", "add", "age1…"), "."),
            )
        self._recipients = recipients

    def _recipients_to_write(self) -> list[age.Recipient]:
        self.listed = listed_keys(self.objects)
        return parse_recipients(recipients_to_write(self.objects, self.known_recipients, self.listed))

    def recipients_to_rewrap(self, named: Sequence[str]) -> list[str]:
        """`recipients.recipients_to_rewrap` of what is listed now."""
        self.listed = listed_keys(self.objects)
        return recipients_to_rewrap(self.objects, self.known_recipients, self.listed, named)

    def rewrap(self, packs: Mapping[PackKey, StoredPack], to: Sequence[str]) -> int:
        """Make packs readable for the recipients `to`; how many packs of contents. Needs an identity that opens them
        all.

        Raises KeyMissingError, DamageError; what was written until then is valid.
        """
        self.require_contents()
        recipients = parse_recipients(to)
        contents = [packs[key] for key in sorted(packs) if not key.meta]
        entries = ((pack.key.id.hash, self.pack_file_key(pack.key, pack.size)) for pack in contents)
        return write_rewrapped(self.store, entries, recipients)

    # Objects

    def wrap(self, key: str, plain: Buffer) -> Wrapped:
        if not key.startswith(PACKS):
            return Wrapped(seal(self._secrets, plain), partial(open_sealed, self._secrets))
        if not self._recipients:
            self.prepare_writing()
        stored, file_key = age.encrypt(plain, self._recipients)
        return Wrapped(stored, partial(age.open_with, file_key=file_key))

    def unwrap(self, key: str, stored: Buffer) -> Buffer:
        try:
            if not key.startswith(PACKS):
                return unseal(self._secrets, stored)
            view = memoryview(stored)
            _, file_key = self._opened(key, len(view), lambda start, length: view[start : start + length])
            return age.decrypt_with(view, file_key)
        except DamageError as error:
            raise _damaged(key, error) from error

    def part(self, key: str, size: Callable[[], int], read: Callable[[int, int], Buffer]) -> Part | None:
        total = size()
        try:
            if not key.startswith(PACKS):
                return sealed_stream(self._secrets, read(0, min(HEAD, total)), total)
            header, file_key = self._opened(key, total, read)
            return age.open_file(header, file_key, total)
        except DamageError as error:
            raise _damaged(key, error) from error

    def fits(self, key: str, plain: int, stored: int) -> bool:
        if key.startswith(PACKS):
            return age.is_file_length(plain, stored)
        return HEAD + age.stream_length(plain) == stored

    def pack_file_key(self, key: str, size: int) -> bytes:
        """The file key of a stored pack. Raises DamageError, KeyMissingError."""
        header, file_key = self._opened(key, size, partial(self.store.get_range, key))
        header.payload_key(file_key)
        return file_key

    def _opened(self, key: str, size: int, read: Callable[[int, int], Buffer]) -> tuple[age.Header, bytes]:
        header = _read_header(size, read)
        file_key = self._file_key(key, header)
        if file_key is None:
            if size > stored_limit(key):
                raise DamageError("It is larger than the limit for a pack.")
            raise self._not_for_us(key, read(0, size))
        return header, file_key

    def _file_key(self, key: str, header: age.Header) -> bytes | None:
        """The file key of a pack; None when it is for others. Raises DamageError, KeyMissingError without identity."""
        if not self.identities:
            raise self.keys.missing_identity(self.store.location, self._needed())
        found = header.unwrap(self.identities)
        return found or self._rewrapped_keys().file_key(PackKey(key).id.hash, header)

    def _rewrapped_keys(self) -> RewrappedKeys:
        with self._lock:
            if self._rewrapped is None:
                self._rewrapped = RewrappedKeys.read(self.store, self.identities)
            return self._rewrapped

    def _not_for_us(self, key: str, stored: Buffer) -> DamageError | KeyMissingError:
        """An altered stanza looks like one for somebody else."""
        if not is_named_by(key, stored):
            return DamageError("It is altered: its hash is not its name.")
        return self._wrong_identity(key)


def _read_header(size: int, read: Callable[[int, int], Buffer]) -> age.Header:
    for length in (HEADER_GUESS, MAX_HEADER + HEADER_GUESS):
        if header := age.parse_header(bytes(read(0, min(length, size)))):
            return header
    raise DamageError("The age header is cut short.")


def _damaged(key: str, error: DamageError) -> DamageError:
    return DamageError(
        f"The object {key} cannot be decrypted. {error.message}", subject=key, hint=error.advice
    )


def _unlock(info: RepositoryInfo, store: Store, identities: Sequence[age.Identity]) -> bytes:
    """The repository key, by an identity. Raises KeyMissingError, DamageError."""
    damaged = ""
    for identity in identities:
        name = KEYS + recipient_name(identity.recipient)
        try:
            key = age.decrypt(store.get(name), [identity])
        except NotFoundError:
            continue
        except DamageError:
            key = None
        if key is not None and hmac.compare_digest(key_id(bytes(key)), info.key_id):
            return bytes(key)
        damaged = damaged or name
    if damaged:
        raise DamageError(
            f"{damaged} is altered at {store.location}. The identity on this host gets the repository key from it.",
            hint=_WITHOUT_IT,
        )
    raise _no_recipient(store, identities)


def _no_recipient(store: Store, identities: Sequence[age.Identity]) -> KeyMissingError | DamageError:
    """Why none of the identities has a wrapped key: it is of another repository, or what it had is lost."""
    here = ", ".join(identity.recipient for identity in identities)
    listed = {found.key for found in store.list(KEYS)}
    own = [KEYS + recipient_name(identity.recipient) for identity in identities]
    if lost := [key for key in own if key + ADDED in listed]:
        return DamageError(
            f"{lost[0]} is missing at {store.location}. The identity on this host gets the repository key from it.",
            hint=_WITHOUT_IT,
        )
    if all(key.startswith(REWRAPPED) for key in listed):
        return DamageError(
            f"All objects below keys/ from which recipients get the repository key are missing at {store.location}.",
            hint=_WITHOUT_IT,
        )
    return KeyMissingError(
        f"No identity on this host ({here}) belongs to a recipient of the repository at {store.location}.",
        hint=(
            "Name the identity file of one of its recipients. If this was one, its objects below keys/ are lost. ",
            *_WITHOUT_IT,
        ),
    )


_WITHOUT_IT = (
    f"Name the repository key, too ({KEY_VARIABLE}): then nothing below keys/ is needed. Hosts that write have it. On "
    "such a host, ",
    command("repair"),
    " restores the missing objects.",
)
