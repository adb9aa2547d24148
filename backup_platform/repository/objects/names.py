"""Names of objects in format 1 (FORMAT.md §1, §3): prefixes, and hashes."""

from __future__ import annotations

import re
from collections.abc import Callable

from blake3 import blake3

from backup_platform.domain.ports import Buffer

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
MARK = re.compile(rf"{DAMAGED}(?P<kind>packs/|meta/|indexes/)(?P<id>[0-9a-f]{{64}})")
PACK_KEY = re.compile(r"(packs|meta)/([0-9a-f]{2})/\2[0-9a-f]{62}")
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
