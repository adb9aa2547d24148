"""Which packs to fetch from copies, and which to index. Writes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from backup_platform.actions.repair.damage import DamageSurvey
from backup_platform.actions.repair.donors import Donor
from backup_platform.actions.repair.plan import Act, RepairStep
from backup_platform.domain.model import Content
from backup_platform.domain.words import how_many, point_name
from backup_platform.repository.objects.names import PackKey
from backup_platform.repository.packs.index import IndexedPack
from backup_platform.repository.repository import Repository


@dataclass(slots=True)
class PackSteps:
    steps: list[RepairStep] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def pack_steps(
    repository: Repository, donors: Sequence[Donor], survey: DamageSurvey, doomed: AbstractSet[PackKey]
) -> PackSteps:
    """`doomed` packs are being deleted. They cannot be stored again until that is over."""
    return _PackPlanner(repository, donors, survey, doomed).plan()


class _PackPlanner:
    def __init__(
        self,
        repository: Repository,
        donors: Sequence[Donor],
        survey: DamageSurvey,
        doomed: AbstractSet[PackKey],
    ) -> None:
        self._repository, self._donors, self._survey, self._doomed = repository, donors, survey, doomed
        self._planned: set[PackKey] = set()
        self._found = PackSteps()

    def plan(self) -> PackSteps:
        survey, found = self._survey, self._found
        self._replace_damaged()
        for meta in (True, False):
            self._take(meta=meta)
        found.lost += [*survey.unread, *self._still_missing()]
        if not found.lost:
            found.notes += self._of_no_use()
        self._index()
        found.steps += [
            RepairStep(Act.UNMARK, key, "it was marked as damaged, and is sound") for key in survey.marked
        ]
        found.notes += [
            f"{key} was marked as damaged. Its hash is right, but no identity here can open it: run this on a host "
            "that has one."
            for key in survey.closed
        ]
        return found

    def _replace_damaged(self) -> None:
        for key, damage in self._survey.damaged.items():
            donors = self._with(key)
            if key in self._doomed:
                self._found.notes.append(f"{key} is damaged, and prune is deleting it.")
            elif donors:
                self._add(Act.REPLACE, key, damage, donors)
        mended = self._blobs(self._planned)
        for missing in self._survey.missing.values():
            for blob in missing.keys() & mended:
                del missing[blob]

    def _take(self, *, meta: bool) -> None:
        """Packs of copies that hold blobs which no sound pack here does."""
        missing, listed = self._survey.missing[meta], self._survey.indexes.listed
        for donor in self._donors:
            held = set[bytes]()
            # Of several packs nobody may be able to tell which really holds a blob: all of them are taken.
            for key, blobs in donor.packs_with(missing, meta=meta).items():
                if key in self._doomed:
                    self._found.notes.append(
                        f"{key} is needed, but prune is deleting it: repair again after the next prunes."
                    )
                    continue
                why = f"{point_name(missing[min(blobs)])} needs it"
                if key in listed:  # no index names it, and its table is closed to this host
                    self._add(Act.INDEX, key, why, self._index_of(key))
                else:
                    self._add(Act.TAKE, key, why, self._with(key))
                held |= blobs
            for blob in held:
                missing.pop(blob, None)

    def _still_missing(self) -> list[str]:
        counts = Counter(
            point_name(point) for missing in self._survey.missing.values() for point in missing.values()
        )
        return [
            f"{name}, and perhaps other points, need {how_many(count, 'blob')} that no sound pack holds, here or in a "
            "copy."
            for name, count in sorted(counts.items())
        ]

    def _of_no_use(self) -> list[str]:
        left = self._survey.damaged.keys() - self._planned - self._doomed
        return [f"{key} is damaged, but no point needs it: prune removes it." for key in sorted(left)]

    def _index(self) -> None:
        unindexed = self._survey.indexes.unindexed - self._planned - self._doomed
        named = {key for donor in self._donors for key in donor.rows_of(unindexed)} if unindexed else set()
        closed = 0
        for key in sorted(unindexed):
            if key.meta or key in named or self._repository.cipher.reads_contents:
                self._add(Act.INDEX, key, "no index names it", self._index_of(key))
            else:
                closed += 1
        if closed:
            self._found.notes.append(
                f"No index names {closed} packs, and only an identity can open them: run this on a host that has one."
            )

    def _index_of(self, key: PackKey) -> tuple[str, ...]:
        """The copies whose indexes tell what a pack holds, where no key on this host opens it to tell by itself."""
        opens = key.meta or self._repository.cipher.reads_contents
        return () if opens else self._with(key)

    def _with(self, key: PackKey) -> tuple[str, ...]:
        return tuple(donor.name for donor in self._donors if key in donor.indexes.listed)

    def _blobs(self, keys: AbstractSet[PackKey]) -> set[bytes]:
        """Ids in some packs, as the copies know them."""
        blobs: set[bytes] = set()
        for donor in self._donors if keys else ():
            for pack in donor.agreed_rows_of(keys).values():
                blobs |= blobs_of(pack)
        return blobs

    def _add(self, act: Act, key: PackKey, why: str, donors: tuple[str, ...]) -> None:
        if key not in self._planned:
            self._planned.add(key)
            size = next((d.indexes.listed[key] for d in self._donors if d.name in donors), 0)
            self._found.steps.append(RepairStep(act, key, why, donors, 0 if act is Act.INDEX else size))


def blobs_of(pack: IndexedPack) -> set[bytes]:
    return set(Content(pack.rows["blob"].tobytes()).ids())
