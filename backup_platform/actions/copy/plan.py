"""What a copy would do: which recovery points another repository lacks, and which packs it lacks for them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from backup_platform.domain.model import RecoveryPoint
from backup_platform.domain.words import how_many, point_name
from backup_platform.errors import DamageError
from backup_platform.repository.objects.names import ManifestKey, PackKey
from backup_platform.repository.packs.index import ABSENT, BlobIndex
from backup_platform.repository.packs.indexes import Indexes
from backup_platform.repository.records.forgotten import forgotten_places
from backup_platform.repository.replicas import diverged, missing_keys
from backup_platform.repository.repository import Repository

LOOKED_AT = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class CopyStep:
    """A point to copy, and the packs that it needs and that no earlier step copies, with their sizes in bytes."""

    point: RecoveryPoint
    packs: dict[PackKey, int]


@dataclass(frozen=True, slots=True)
class CopyPlan:
    """`kept` are in the target with everything that they need. `forgotten` were in the target until retention there
    removed them. `findings` say by point id why a point cannot be copied now. `there` are bytes of packs that an
    interrupted copy left: they are read in the target instead of copied. `keys` is how many objects of `keys/` are
    missing."""

    origin: str
    target: str
    steps: tuple[CopyStep, ...] = ()
    kept: tuple[RecoveryPoint, ...] = ()
    forgotten: tuple[RecoveryPoint, ...] = ()
    findings: dict[str, str] = field(default_factory=dict)
    there: int = 0
    keys: int = 0

    @property
    def points(self) -> list[RecoveryPoint]:
        """Those to copy, newest first."""
        return [step.point for step in self.steps]

    @property
    def packs(self) -> int:
        return sum(len(step.packs) for step in self.steps)

    @property
    def size(self) -> int:
        """Bytes to move."""
        return sum(sum(step.packs.values()) for step in self.steps) - self.there


@dataclass(frozen=True, slots=True)
class Lacking:
    """`packs` of the origin hold what the target lacks of a point. `missing` blobs are not in the origin either.
    `problem` says why the point cannot be read there."""

    packs: set[PackKey]
    missing: int = 0
    problem: str = ""


def lacking(origin: Repository, here: Indexes, point: RecoveryPoint) -> Lacking:
    """What the target lacks, by the current indexes of the origin and by `here`, the trusted indexes of the target."""
    there, packs = origin.indexes(), set[PackKey]()
    metadata, contents = (
        _Wanted(here.meta, there.meta, packs),
        _Wanted(here.contents, there.contents, packs),
    )
    try:
        for is_meta, ids in origin.reader(point).needed():
            (metadata if is_meta else contents).add(ids)
    except DamageError as error:
        return Lacking(packs, problem=error.message)
    return Lacking(packs, metadata.missing + contents.missing)


@dataclass(slots=True)
class _Draft:
    """A plan in the making."""

    steps: list[CopyStep] = field(default_factory=list)
    kept: list[RecoveryPoint] = field(default_factory=list)
    findings: dict[str, str] = field(default_factory=dict)


class CopyPlanner:
    """Reads listings and inventories, writes nothing."""

    def __init__(self, origin: Repository, target: Repository, here: Indexes) -> None:
        self._origin, self._target, self._here = origin, target, here
        self._coming: set[PackKey] = set()

    def plan(self, points: Iterable[RecoveryPoint], *, thorough: bool) -> CopyPlan:
        """The newest point comes first, because its loss would be the worst."""
        each_once = {point.id: point for point in points}.values()
        wanted = sorted(each_once, key=lambda point: (point.window.start, point.sequence), reverse=True)
        sources = sorted({point.source for point in wanted})
        held = {point.id: point for source in sources for point in self._target.points.readable(source)[0]}
        apart = self._diverged(sources, held.values())
        gone = _forgotten(self._target, sources) - held.keys()
        settled = set() if thorough else self._settled(sources, held.values())
        draft = _Draft()
        for point in wanted:
            if point.source in apart:
                draft.findings[point.id] = apart[point.source]
            elif point.id in settled:
                draft.kept.append(point)
            elif point.id not in gone:
                self._examine(point, draft, there=point.id in held)
        return CopyPlan(
            self._origin.info.location,
            self._target.info.location,
            tuple(draft.steps),
            tuple(draft.kept),
            tuple(point for point in wanted if point.id in gone),
            draft.findings,
            sum(self._here.listed.get(key, 0) for key in self._coming),
            len(missing_keys(self._origin, self._target.store)),
        )

    def _settled(self, sources: Iterable[str], held: Iterable[RecoveryPoint]) -> set[str]:
        """Points that have been in the target for longer than `LOOKED_AT`, by its store's clock: what is lost of them
        is for verify to find. A newer one may be of a run that failed at its end."""
        stored: dict[ManifestKey, datetime] = {}
        for source in sources:
            stored |= self._target.points.stored(source)
        newest = max(stored.values(), default=None)
        old = {key for key, at in stored.items() if newest and newest - at > LOOKED_AT}
        return {point.id for point in held if self._target.points.key(point) in old}

    def _examine(self, point: RecoveryPoint, draft: _Draft, *, there: bool) -> None:
        need = lacking(self._origin, self._here, point)
        if text := self._finding(point, need):
            draft.findings[point.id] = text
        elif there and not need.packs:
            draft.kept.append(point)
        else:
            draft.steps.append(self._step(point, need.packs))

    def _diverged(self, sources: Iterable[str], held: Iterable[RecoveryPoint]) -> dict[str, str]:
        """Sources of which the target has other points than the origin, and what to say of them."""
        own = {
            (source, point.sequence): point.id
            for source in sources
            for point in self._origin.points.readable(source)[0]
        }
        strange = [each for each in held if own.get((each.source, each.sequence), each.id) != each.id]
        return {each.source: diverged(self._target, each) for each in reversed(strange)}

    def _finding(self, point: RecoveryPoint, need: Lacking) -> str:
        """Why a point cannot be copied; empty when it can."""
        if need.problem:
            return f"{point_name(point)} cannot be read in {self._origin.info.location}: {need.problem}"
        if need.missing:
            blobs = how_many(need.missing, "blob")
            return f"{point_name(point)} needs {blobs} that no pack in {self._origin.info.location} holds."
        stuck = [key for key in need.packs & self._here.doomed if not can_store_anew(self._origin, key)]
        if stuck:
            return waits_for_prune(self._target, point, min(stuck))
        return ""

    def _step(self, point: RecoveryPoint, packs: set[PackKey]) -> CopyStep:
        listed = self._origin.indexes().listed
        sizes = {key: listed[key] for key in sorted(packs - self._coming)}
        self._coming |= packs
        return CopyStep(point, sizes)


def can_store_anew(origin: Repository, key: PackKey) -> bool:
    """Whether the blobs of a pack can be stored in another pack. For a pack of contents this needs a key to
    contents."""
    return key.meta or origin.cipher.reads_contents


def waits_for_prune(target: Repository, point: RecoveryPoint, pack: PackKey) -> str:
    """A pack that is being deleted cannot be stored again: it would have the same name."""
    return (
        f"{point_name(point)} needs {pack}, which prune is deleting in {target.info.location}. It can be copied after "
        "the next prune. A host with an identity can copy it now, because it stores the data under another name."
    )


def _forgotten(repository: Repository, sources: Iterable[str]) -> set[str]:
    """Ids of the points that retention let go in a repository: copying them again would undo it."""
    return {place.point for source in sources for place in forgotten_places(repository.objects, source)}


@dataclass(slots=True)
class _Wanted:
    """The blobs of one kind that the target lacks. `packs` gets the packs of the origin that hold them. `missing`
    counts the blobs that no pack holds."""

    here: BlobIndex
    there: BlobIndex
    packs: set[PackKey]
    missing: int = 0
    known: set[int] = field(default_factory=set)

    def add(self, ids: bytes) -> None:
        wanted = np.frombuffer(ids, "V32")[self.here.find_all(ids) == ABSENT].tobytes()
        self.missing += int(np.count_nonzero(self.there.find_all(wanted) == ABSENT))
        # Of several packs a copy cannot tell which really holds a blob: all of them come.
        numbers = self.there.holders(wanted) - self.known
        self.known |= numbers
        self.packs.update(self.there.keys_of(numbers))
