"""The chains of sources: numbers, what does not fit, and which point counts for a window (FORMAT.md §7)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from backup_platform.domain.limits import MAX_SEQUENCE
from backup_platform.domain.model import RecoveryPoint
from backup_platform.errors import RepositoryError
from backup_platform.repository.objects.names import MANIFESTS, ManifestKey, source_tag
from backup_platform.repository.objects.objects import Objects
from backup_platform.repository.records.forgotten import LOST, ForgottenPlace, forgotten_places

REACH = 10_000  # places behind the highest known one in which an unreadable manifest counts
REACH_OF_NONE = 1_000_000  # where nothing is known of the chain


def strange_names(objects: Objects) -> tuple[str, ...]:
    """Keys of objects below `manifests/` that are not manifests."""
    return tuple(sorted(o.key for o in objects.store.list(MANIFESTS) if not ManifestKey.match(o.key)))


def require_place(point: RecoveryPoint, chain: str) -> None:
    """Before anything is written: what has a higher place could not be read back. Raises RepositoryError."""
    if point.sequence > MAX_SEQUENCE:
        highest = f"{chain}{MAX_SEQUENCE}"
        raise RepositoryError(
            f"There is no number left for a recovery point of {point.source}: {highest} has the highest one.",
            hint=f"No series of backups reaches that number. Find out who wrote {highest}, and delete that object with "
            "the tools of the store. The next backup then continues after the point before it.",
        )


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
    return [text for _, text in _breaks(points, forgotten)]


def broken_places(
    points: Iterable[RecoveryPoint], forgotten: Iterable[ChainLink], *, whole: bool
) -> list[tuple[int, str]]:
    """What does not fit in the chain of one source, with the number behind which it is; with `whole` also what
    `chain_gaps` finds."""
    points, forgotten = list(points), list(forgotten)
    return [*_breaks(points, forgotten), *(_gaps(points, forgotten) if whole else ())]


def _breaks(points: Iterable[RecoveryPoint], forgotten: Iterable[ChainLink]) -> list[tuple[int, str]]:
    links = _links(points, forgotten)
    # A place may have had another point, which was lost before its number was given again.
    ids = defaultdict[tuple[str, int], set[str]](set)
    for link in links:
        ids[link.source, link.sequence].add(link.id)
    before: ChainLink | None = None
    breaks: list[tuple[int, str]] = []
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
            text = (
                f"{link.source}: point {link.id[:12]} names {(named or 'nothing')[:12]} as its "
                f"predecessor, but the point before it is {before.id[:12]}."
            )
            breaks.append((link.sequence, text))
        before = link
    return breaks


def chain_gaps(points: Iterable[RecoveryPoint], forgotten: Iterable[ChainLink] = ()) -> list[str]:
    """Numbers of the chains with neither a point nor the record of a forgotten one: somebody removed these
    points."""
    return [text for _, text in _gaps(points, forgotten)]


def _gaps(points: Iterable[RecoveryPoint], forgotten: Iterable[ChainLink]) -> list[tuple[int, str]]:
    latest: dict[str, int] = {}
    gaps: list[tuple[int, str]] = []
    for link in _places(_links(points, forgotten)):
        first, last = latest.get(link.source, 0) + 1, link.sequence - 1
        if first <= last:
            missing = f"{first}" if first == last else f"{first} to {last}"
            text = f"{link.source}: no recovery point {missing} is here, and no record says that it was forgotten."
            gaps.append((link.sequence, text))
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
    """Suspect points of windows that also have an earlier, sound point. They stay undecided until somebody accepts
    them, or the window is captured again."""
    points = list(points)
    effective = {(each.source, each.window.key): each for each in effective_points(points)}
    waiting = (p for p in points if p.is_suspect and p.sequence > effective[p.source, p.window.key].sequence)
    return sorted(waiting, key=lambda p: (p.source, p.window.start, p.sequence))


def _worth(point: RecoveryPoint) -> int:
    return 0 if point.is_suspect else 1 if point.incomplete else 2


def forgotten_links(objects: Objects, *sources: str) -> list[ChainLink]:
    """The places that points had which were forgotten, in the chains of some sources; from one listing."""
    places = forgotten_places(objects, sources[0] if len(sources) == 1 else None)
    return links_of(objects, places, sources)


def links_of(objects: Objects, places: Iterable[ForgottenPlace], sources: Iterable[str]) -> list[ChainLink]:
    """The links among some that belong to the chains of these sources."""
    names = {source_tag(source, objects.cipher.hash): source for source in sources}
    return [
        ChainLink(names[place.tag], place.sequence, place.point) for place in places if place.tag in names
    ]
