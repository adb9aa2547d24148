"""Manifests: a recovery point as a signed document, and the chain of a source's points (FORMAT.md §7)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any, NamedTuple, cast

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
    Window,
)
from backup_platform.domain.ports import Buffer
from backup_platform.errors import DamageError
from backup_platform.repository.fields import Fields
from backup_platform.repository.format import FORMAT, Hash, digest, manifest_key, sign, unsign

MAX_PROBLEMS = 100
ZONE = re.compile(r"\w[\w+-]*(/[\w+-]+){0,3}", re.ASCII)
PACK = re.compile("[0-9a-f]{64}")
PREDECESSOR = re.compile("([0-9a-f]{64})?")
LOST = "lost"  # instead of the id of a point that is known to be gone


def encode_manifest(
    point: RecoveryPoint, repository: str, hashed: Hash = digest
) -> tuple[RecoveryPoint, bytes]:
    """The point with its id, and the object's plain bytes. `point.id` of the argument is ignored."""
    window = point.window
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
        "repository": repository,
        "sequence": point.sequence,
        "source": point.source,
        "stats": cast("Json", asdict(point.stats)),
        **({"suspect": list[Json](point.suspect)} if point.suspect else {}),
        "timezone": point.timezone,
        **({"unvouched": _unvouched(point.unvouched)} if point.unvouched else {}),
        "versions": dict(point.versions),
        "window": {"end": window.end.isoformat(), "key": window.key, "start": window.start.isoformat()},
    }
    identity, data = sign(document, hashed)
    return replace(point, id=identity), data


def _unvouched(value: Unvouched) -> Json:
    packs: list[Json] = [{"bytes": p.size, "pack": p.pack, "table": p.table} for p in value.packs]
    return {"bytes": value.size, **({"packs": packs} if packs else {})}


def _decoded_unvouched(said: Fields) -> Unvouched:
    packs = said.inners("packs", MAX_VALUES) if "packs" in said.values else ()
    found = (OnTrust(each.text("pack", PACK), each.text("table"), each.count("bytes")) for each in packs)
    return Unvouched(said.count("bytes"), tuple(found))


def decode_manifest(key: str, data: Buffer, repository: str, hashed: Hash = digest) -> RecoveryPoint:
    """The point of a manifest found under `key`. Raises DamageError when it is altered or not at its place."""
    identity, document = unsign(key, data, hashed)
    try:
        point = _point(identity, document)
        place = manifest_key(point.source, point.sequence, hashed)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DamageError(f"The manifest {key} lacks a field or has one of another kind: {error}.") from error
    if document.get("repository") != repository or key != place:
        raise DamageError(
            f"The manifest {key} belongs elsewhere: it says source {point.source!r}, sequence {point.sequence}.",
            hint="Someone moved or copied it. Restore the original object from a copy of the repository.",
        )
    return point


def _point(identity: str, document: Mapping[str, Any]) -> RecoveryPoint:
    said = Fields(document)
    window, stats = said.inner("window"), said.inner("stats")
    return RecoveryPoint(
        id=identity,
        sequence=said.count("sequence", 1, MAX_SEQUENCE),
        predecessor=said.text("predecessor", PREDECESSOR),
        source=said.text("source"),
        kind=said.text("kind"),
        window=Window(window.text("key"), window.instant("start"), window.instant("end")),
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
        raise ValueError("its inventory has part of an id")
    return StreamRef(said.count("size", 0, MAX_INVENTORY), Content(blobs, said.count("depth", 0, MAX_DEPTH)))


class ChainLink(NamedTuple):
    """A place in the chain of a source: a point that is here, or that was forgotten."""

    source: str
    sequence: int
    id: str
    predecessor: str | None = None  # None of a forgotten one: not known


def chain_breaks(points: Iterable[RecoveryPoint], forgotten: Iterable[ChainLink] = ()) -> list[str]:
    """What does not fit in the chains: one sentence for each point whose predecessor is not the point before.

    An earlier one will do, or none: those between could not be read when it was written, and were repaired since.
    """
    links = _links(points, forgotten)
    # A place may have had another point, which was lost before its number was given again.
    ids = defaultdict[tuple[str, int], set[str]](set)
    for link in links:
        ids[link.source, link.sequence].add(link.id)
    before: ChainLink | None = None
    breaks = []
    earlier: set[str] = set()
    for link in _places(links):
        if before is None or before.source != link.source:
            earlier = {""}
        else:
            earlier |= ids[before.source, before.sequence]
        follows = before is not None and (before.source, before.sequence) == (link.source, link.sequence - 1)
        named = link.predecessor
        known = named is None or named in earlier
        if follows and before is not None and before.id != LOST and not known:
            breaks.append(
                f"{link.source}: point {link.id[:12]} names {(named or 'nothing')[:12]} as its "
                f"predecessor, but the point before it is {before.id[:12]}."
            )
        before = link
    return breaks


def chain_gaps(points: Iterable[RecoveryPoint], forgotten: Iterable[ChainLink] = ()) -> list[str]:
    """Places of the chains that neither a point nor the record of a forgotten one fills: somebody took them away."""
    latest: dict[str, int] = {}
    gaps = []
    for link in _places(_links(points, forgotten)):
        first, last = latest.get(link.source, 0) + 1, link.sequence - 1
        if first <= last:
            missing = f"{first}" if first == last else f"{first} to {last}"
            gaps.append(
                f"{link.source}: no recovery point {missing} is here, and no record says that it was forgotten."
            )
        latest[link.source] = link.sequence
    return gaps


def _links(points: Iterable[RecoveryPoint], forgotten: Iterable[ChainLink]) -> list[ChainLink]:
    here = (ChainLink(point.source, point.sequence, point.id, point.predecessor) for point in points)
    return [*forgotten, *here]


def _places(links: Iterable[ChainLink]) -> list[ChainLink]:
    """In order, one of each place. A point that is here goes before the record that an interrupted call left of it."""
    last = {(link.source, link.sequence): link for link in links}
    return [last[place] for place in sorted(last)]


def effective_points(points: Iterable[RecoveryPoint]) -> list[RecoveryPoint]:
    """The recovery point of each window: the newest that is complete and not suspect, else the newest that is not
    suspect, else the newest. Oldest window first."""
    best: dict[tuple[str, str], RecoveryPoint] = {}
    for point in sorted(points, key=lambda p: (_worth(p), p.sequence)):
        best[point.source, point.window.key] = point
    return sorted(best.values(), key=lambda p: (p.source, p.window.start, p.sequence))


def undecided_points(points: Iterable[RecoveryPoint]) -> list[RecoveryPoint]:
    """Suspect points of windows that an earlier, sound point stands for: until somebody accepts them, or the window is
    captured anew."""
    points = list(points)
    effective = {(each.source, each.window.key): each for each in effective_points(points)}
    waiting = (p for p in points if p.is_suspect and p.sequence > effective[p.source, p.window.key].sequence)
    return sorted(waiting, key=lambda p: (p.source, p.window.start, p.sequence))


def _worth(point: RecoveryPoint) -> int:
    return 0 if point.is_suspect else 1 if point.incomplete else 2
