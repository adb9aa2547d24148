"""Canonical JSON, and documents that end in their own hash (FORMAT.md §7)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hmac import compare_digest
from typing import Any

from backup_platform.domain.bounded_json import loads, require_bounded
from backup_platform.domain.limits import MAX_DOCUMENT, MAX_VALUES
from backup_platform.domain.model import Json
from backup_platform.domain.ports import Buffer
from backup_platform.errors import DamageError
from backup_platform.repository.objects.names import Hash, digest


def canonical(document: Mapping[str, Json]) -> bytes:
    """Canonical JSON as FORMAT.md §7 defines it. Raises ValueError for NaN and infinity."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def parse(key: str, text: bytes) -> dict[str, Any]:
    """Inverse of `canonical`, of the object under `key`. Raises DamageError, before memory is taken for a text that is
    larger or deeper than a document is; and for one that is not canonical, as those with a key twice."""
    try:
        require_bounded(text, MAX_DOCUMENT, MAX_VALUES)
        document = loads(text)
        if not isinstance(document, dict) or canonical(document) != text:
            raise ValueError("it is not canonical")  # noqa: TRY301
    except ValueError as error:
        raise DamageError(f"The object {key} is not a document: {error}.", subject=key) from error
    return document


def sign(document: Mapping[str, Json], hashed: Hash = digest) -> tuple[str, bytes]:
    """The document's id and its stored form of two lines."""
    line = canonical(document)
    identity = hashed(line).hex()
    return identity, line + b"\n" + identity.encode() + b"\n"


def unsign(key: str, data: Buffer, hashed: Hash = digest) -> tuple[str, dict[str, Json]]:
    """Inverse of `sign`. Raises DamageError naming the object when the bytes are not what was written."""
    lines = bytes(data).split(b"\n", 3)
    if len(lines) != 3 or lines[2] or not compare_digest(hashed(lines[0]).hex().encode(), lines[1]):
        raise DamageError(f"The object {key} is altered or cut short: its hash does not match.", subject=key)
    return lines[1].decode(), parse(key, lines[0])
