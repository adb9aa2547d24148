"""Names and encodings of format 1 (FORMAT.md): keys, canonical JSON, signed lines."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hmac import compare_digest
from typing import Any

from blake3 import blake3

from backup_platform.domain.fingerprint import DIGITS, grouped
from backup_platform.domain.limits import MAX_DOCUMENT, MAX_NESTING, MAX_VALUES
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
MARK = re.compile(rf"{DAMAGED}(?P<kind>packs/|meta/|indexes/)(?P<id>[0-9a-f]{{64}})")
PACK_KEY = re.compile(r"(packs|meta)/([0-9a-f]{2})/\2[0-9a-f]{62}")
STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"')
MAX_DIGITS = 40  # sums of hashes have more than 64 bits
NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
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


def parse(key: str, text: bytes) -> dict[str, Any]:
    """Inverse of `canonical`, of the object under `key`. Raises DamageError, before memory is taken for a text that is
    larger or deeper than a document is; and for one that is not canonical, as those with a key twice."""
    if len(text) > MAX_DOCUMENT or text.count(b",") + text.count(b"[") + text.count(b"{") > MAX_VALUES:
        raise DamageError(f"The object {key} is larger than a document is.")
    if _nesting(text) > MAX_NESTING:
        raise DamageError(f"The object {key} is nested deeper than a document is.")
    try:
        document = json.loads(text, parse_int=_integer)
        if not isinstance(document, dict) or canonical(document) != text:
            raise ValueError("it is not canonical")  # noqa: TRY301
    except ValueError as error:
        raise DamageError(f"The object {key} is not a document: {error}.") from error
    return document


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError("it has a number of too many digits")
    return int(text)


def _nesting(text: bytes) -> int:
    """How deep brackets are in each other, those in strings left out."""
    if text.count(b"[") + text.count(b"{") <= MAX_NESTING:
        return 0
    depth = deepest = 0
    for bracket in STRING.sub(b"", text).translate(None, NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def sign(document: Mapping[str, Json], hashed: Hash = digest) -> tuple[str, bytes]:
    """The document's id and its stored form of two lines."""
    line = canonical(document)
    identity = hashed(line).hex()
    return identity, line + b"\n" + identity.encode() + b"\n"


def unsign(key: str, data: Buffer, hashed: Hash = digest) -> tuple[str, dict[str, Json]]:
    """Inverse of `sign`. Raises DamageError naming the object when the bytes are not what was written."""
    lines = bytes(data).split(b"\n", 3)
    if len(lines) != 3 or lines[2] or not compare_digest(hashed(lines[0]).hex().encode(), lines[1]):
        raise DamageError(f"The object {key} is altered or cut short: its hash does not match.")
    return lines[1].decode(), parse(key, lines[0])


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
