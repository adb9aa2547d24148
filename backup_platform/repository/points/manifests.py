"""Manifests: a recovery point as a signed document (FORMAT.md §7)."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from typing import cast

from backup_platform.domain.limits import MAX_DEPTH, MAX_INVENTORY, MAX_SEQUENCE, MAX_VALUES
from backup_platform.domain.model import (
    Content,
    Json,
    OnTrust,
    Problem,
    RecoveryPoint,
    Stats,
    Status,
    StreamRef,
    Unvouched,
)
from backup_platform.domain.ports import Buffer
from backup_platform.errors import DamageError
from backup_platform.repository.objects.documents import Codec, Fields, window_fields
from backup_platform.repository.objects.names import FORMAT, ManifestKey, ObjectId

MAX_PROBLEMS = 100
ZONE = re.compile(r"\w[\w+-]*(/[\w+-]+){0,3}", re.ASCII)
PREDECESSOR = re.compile("([0-9a-f]{64})?")


def encode_manifest(point: RecoveryPoint, codec: Codec) -> tuple[RecoveryPoint, bytes]:
    """The point with its id, and the object's plain bytes. `point.id` of the argument is ignored."""
    document: dict[str, Json] = {
        "captured_at": point.captured_at.isoformat(),
        "committed_at": point.committed_at.isoformat(),
        "facts": dict(point.facts),
        "format": FORMAT,
        "incomplete": point.incomplete,
        "inventory": {
            "blobs": point.inventory.content.blobs.hex(),
            "depth": point.inventory.content.depth,
            "size": point.inventory.size,
        },
        "kind": point.kind,
        "lateness_s": point.lateness_s,
        "predecessor": point.predecessor,
        "problem_count": point.problem_count,
        "problems": [
            {"detail": p.detail, "path": p.path, "status": p.status.value}
            for p in point.problems[:MAX_PROBLEMS]
        ],
        "sequence": point.sequence,
        "source": point.source,
        "stats": cast("Json", asdict(point.stats)),
        **({"suspect": list[Json](point.suspect)} if point.suspect else {}),
        "timezone": point.timezone,
        **({"unvouched": _unvouched(point.unvouched)} if point.unvouched else {}),
        "versions": dict(point.versions),
        "window": window_fields(point.window),
    }
    identity, data = codec.encode(document)
    return replace(point, id=identity), data


def _unvouched(value: Unvouched) -> Json:
    packs: list[Json] = [{"bytes": p.size, "pack": p.pack, "table": p.table} for p in value.packs]
    return {"bytes": value.size, **({"packs": packs} if packs else {})}


def _decoded_unvouched(said: Fields) -> Unvouched:
    packs = said.inners("packs", MAX_VALUES) if "packs" in said.values else ()
    found = (
        OnTrust(each.text("pack", ObjectId.FORM), each.text("table"), each.count("bytes")) for each in packs
    )
    return Unvouched(said.count("bytes"), tuple(found))


def decode_manifest(key: str, data: Buffer, codec: Codec) -> RecoveryPoint:
    """The point of a manifest found under `key`. Raises DamageError when it is altered or not at its place."""
    document = codec.unsign(key, data)
    point = document.decoded(lambda said: _point(document.id, said), "manifest")
    place = document.decoded(lambda _: ManifestKey.of(point.source, point.sequence, codec.hashed), "manifest")
    if document.fields.values.get("repository") != codec.repository or key != place:
        raise DamageError(
            f"The manifest {key} belongs elsewhere: it says source {point.source!r}, sequence {point.sequence}.",
            subject=key,
            hint="Someone moved or copied it. Restore the original object from a copy of the repository.",
        )
    return point


def _point(identity: str, said: Fields) -> RecoveryPoint:
    document, stats = said.values, said.inner("stats")
    return RecoveryPoint(
        id=identity,
        sequence=said.count("sequence", 1, MAX_SEQUENCE),
        predecessor=said.text("predecessor", PREDECESSOR),
        source=said.text("source"),
        kind=said.text("kind"),
        window=said.window("window"),
        timezone=said.text("timezone", ZONE),
        captured_at=said.instant("captured_at"),
        committed_at=said.instant("committed_at"),
        lateness_s=said.number("lateness_s"),
        incomplete=said.flag("incomplete"),
        problem_count=said.count("problem_count"),
        problems=tuple(
            Problem(each.text("path"), Status(each.text("status")), each.text("detail"))
            for each in said.inners("problems", MAX_PROBLEMS)
        ),
        facts=said.inner("facts").values,
        stats=Stats(
            files=stats.count("files"),
            source_bytes=stats.count("source_bytes"),
            new_bytes=stats.count("new_bytes"),
            stored_bytes=stats.count("stored_bytes"),
            duration_s=stats.number("duration_s"),
        ),
        inventory=_inventory(said.inner("inventory")),
        versions=said.inner("versions").texts(),
        unvouched=_decoded_unvouched(said.inner("unvouched")) if "unvouched" in document else None,
        suspect=tuple(map(str, said.list("suspect"))) if "suspect" in document else (),
    )


def _inventory(said: Fields) -> StreamRef:
    blobs = bytes.fromhex(said.text("blobs"))
    if len(blobs) % 32:
        raise ValueError("the list of blob ids of its inventory has the wrong length")
    return StreamRef(said.count("size", 0, MAX_INVENTORY), Content(blobs, said.count("depth", 0, MAX_DEPTH)))
