"""Names and encodings of format 1 (FORMAT.md): keys, canonical JSON, signed lines."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hmac import compare_digest

from blake3 import blake3

from backup_platform.domain.fingerprint import DIGITS, grouped
from backup_platform.domain.model import Json
from backup_platform.domain.ports import Buffer
from backup_platform.errors import DamageError

FORMAT = 1
ROOT_KEY = "repository.json"
PACKS, META, INDEXES, MANIFESTS, TOMBSTONES = "packs/", "meta/", "indexes/", "manifests/", "tombstones/"
LEDGER = "ledger/"
PROOFS, DAMAGED, KEY_TESTS = "ledger/proofs/", "ledger/damaged/", "ledger/keys/"
HOLDS, FORGOTTEN = "ledger/holds/", "ledger/forgotten/"
READS = "ledger/reads/"
ACCEPTED = "ledger/accepted/"
LOCKS = "ledger/locks/"
KEYS = "keys/"
MAX_LISTED_IDS = 4096
SHORT_LISTED_IDS = 32  # at least; then a list ends after an id whose first byte is less than `ENDS_LIST`
ENDS_LIST = 4
MAX_BLOB = 4 << 20
MARK = re.compile(rf"{DAMAGED}(?P<kind>packs/|meta/|indexes/)(?P<id>[0-9a-f]{{64}})")
Hash = Callable[[Buffer], bytes]  # that of the repository: keyed in an encrypted one


def digest(data: Buffer) -> bytes:
    """BLAKE3-256, unkeyed: names stored objects, and blobs of an unencrypted repository."""
    return blake3(data).digest()


def object_key(prefix: str, identity: bytes) -> str:
    """Key of an object that is named by the hash of its stored bytes."""
    name = identity.hex()
    return f"{prefix}{name[:2]}/{name}" if prefix in (PACKS, META) else f"{prefix}{name}"


def damage_key(key: str) -> str:
    """What the name of the record says that tells that a pack is damaged, or an index wrong."""
    kind, name = key.split("/")[0], key[-64:]
    return f"{DAMAGED}{kind}/{name}"


def marked(says: str) -> str | None:
    """Inverse of `damage_key`; None for what is no mark."""
    match = MARK.fullmatch(says)
    return object_key(match["kind"], bytes.fromhex(match["id"])) if match else None


def source_tag(source: str, hashed: Hash = digest) -> str:
    return hashed(source.encode()).hex()[:32]


def manifest_key(source: str, sequence: int, hashed: Hash = digest) -> str:
    return f"{MANIFESTS}{source_tag(source, hashed)}/{sequence:010d}"


def canonical(document: Mapping[str, Json]) -> bytes:
    """Canonical JSON as FORMAT.md §7 defines it. Raises ValueError for NaN and infinity."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def sign(document: Mapping[str, Json], hashed: Hash = digest) -> tuple[str, bytes]:
    """The document's id and its stored form of two lines."""
    line = canonical(document)
    identity = hashed(line).hex()
    return identity, line + b"\n" + identity.encode() + b"\n"


def unsign(key: str, data: Buffer, hashed: Hash = digest) -> tuple[str, dict[str, Json]]:
    """Inverse of `sign`. Raises DamageError naming the object when the bytes are not what was written."""
    lines = bytes(data).split(b"\n")
    if len(lines) != 3 or lines[2] or not compare_digest(hashed(lines[0]).hex().encode(), lines[1]):
        raise DamageError(f"The object {key} is altered or cut short: its hash does not match.")
    try:
        document = json.loads(lines[0])
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise DamageError(f"The object {key} is not a document.")
    return lines[1].decode(), document


@dataclass(frozen=True, slots=True)
class RepositoryInfo:
    """The content of `repository.json`."""

    id: str
    location: str
    created_at: datetime
    encryption: str
    key_id: str = ""

    @property
    def fingerprint(self) -> str:
        """Of what it says of itself: an opened repository had the key of that `key_id`."""
        text = f"{self.encryption}\n{self.id}\n{self.key_id}"
        name = blake3(text.encode(), derive_key_context="backup_platform 1 fingerprint").hexdigest()
        return grouped(name[:DIGITS])
