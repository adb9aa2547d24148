"""Carrying out a repair. Objects are compared before and after they are stored. Only damaged objects are replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from backup_platform.actions.evidence import Evidence
from backup_platform.actions.keys.run import cipher_of
from backup_platform.actions.repair.donors import Donor
from backup_platform.actions.repair.plan import Act, RepairStep
from backup_platform.actions.structure import needs_of
from backup_platform.domain.model import RecoveryPoint
from backup_platform.domain.ports import Buffer, Progress
from backup_platform.domain.words import point_name
from backup_platform.errors import (
    BackupError,
    ConflictError,
    DamageError,
    KeyMissingError,
    NotFoundError,
)
from backup_platform.repository.encryption.age import Recipient
from backup_platform.repository.encryption.key_objects import key_problems, object_problem
from backup_platform.repository.encryption.recipients import put_key, wrapped_key
from backup_platform.repository.objects.names import KEYS, MANIFESTS, META, PACKS, PackKey
from backup_platform.repository.packs.index import IndexedPack, index_pack
from backup_platform.repository.packs.packs import check_pack
from backup_platform.repository.packs.storing import write_index
from backup_platform.repository.points.manifests import decode_manifest
from backup_platform.repository.records.tombstones import doomed_packs, read_tombstones
from backup_platform.repository.replicas import put_object, unmark_damaged
from backup_platform.repository.repository import Repository

PACKS_PER_INDEX = 64
OF_PACKS = (PACKS, META)


class RepairRun:
    """`done` and `failed` are filled while it runs. A failure of one step does not stop the others."""

    def __init__(self, repository: Repository, donors: Sequence[Donor], progress: Progress) -> None:
        self._repository, self._progress = repository, progress
        self._donors = {donor.name: donor for donor in donors}
        self._marked = repository.marks.damaged()
        self.done: list[RepairStep] = []
        self.failed: list[str] = []
        self.bytes = 0

    def run(self, steps: Sequence[RepairStep]) -> None:
        """Raises StoreError if the repository's own store fails. If a copy's store fails, only the steps that need it
        fail."""
        for step in steps:
            if step.key.startswith(KEYS):
                self._try(step, self._mend_key)
        packs = [step for step in steps if step.key.startswith(OF_PACKS) and step.act is not Act.UNMARK]
        for start in range(0, len(packs), PACKS_PER_INDEX):
            self._mend_packs(packs[start : start + PACKS_PER_INDEX])
        for step in steps:
            if step.act is Act.UNMARK:
                self._try(step, lambda step: unmark_damaged(self._repository, PackKey(step.key)))
        for step in steps:
            if step.act is Act.ADOPT:
                self._try(step, self._adopt)
        self._mend_manifests([step for step in steps if step.key.startswith(MANIFESTS)])

    def _adopt(self, step: RepairStep) -> None:
        evidence = Evidence(self._repository)
        evidence.adopt(evidence.listed(step.key).older)

    def _try(self, step: RepairStep, mend: Callable[[RepairStep], None]) -> None:
        try:
            mend(step)
        except (DamageError, ConflictError, NotFoundError) as error:
            self.failed.append(f"{step.key}: {error.message}")
        else:
            self.done.append(step)

    def _from_donors(self, step: RepairStep, take: Callable[[Repository], Buffer]) -> Buffer:
        """What the first copy that can gives. Raises DamageError when none can."""
        problems = []
        for name in step.donors:
            try:
                data = take(self._donors[name].repository)
            except BackupError as error:
                problems.append(f"{name}: {error.message}")
                continue
            self._progress.advance(size=len(data))
            self.bytes += len(data)
            return data
        raise DamageError(f"No copy could give it. {' '.join(problems)}")

    # Packs

    def _mend_packs(self, steps: Sequence[RepairStep]) -> None:
        """Each is stored and read back; then an index names them all."""
        rows = self._donor_rows([PackKey(step.key) for step in steps])
        mended: dict[PackKey, tuple[RepairStep, IndexedPack]] = {}
        for step in steps:
            try:
                pack = self._mend_pack(step, rows)
                mended[pack.key] = step, pack
            except (DamageError, ConflictError) as error:
                self.failed.append(f"{step.key}: {error.message}")
        if mended:
            write_index(self._repository.objects, [pack for _, pack in mended.values()])
        for key, (step, _) in mended.items():
            if key in self._marked and step.act is not Act.INDEX:
                unmark_damaged(self._repository, key)
            self.done.append(step)

    def _donor_rows(self, keys: Sequence[PackKey]) -> dict[PackKey, IndexedPack]:
        rows: dict[PackKey, IndexedPack] = {}
        for donor in self._donors.values():
            try:
                rows = donor.rows_of(keys) | rows
            except BackupError:
                continue  # what is not known from a copy is read from the pack, where a key opens it
        return rows

    def _mend_pack(self, step: RepairStep, rows: Mapping[PackKey, IndexedPack]) -> IndexedPack:
        """The pack's rows, by its own table where a key opens it, else by the index of a copy."""
        key = PackKey(step.key)
        if step.act is Act.INDEX:
            data = self._repository.objects.verified(key)
        else:
            data = self._from_donors(step, lambda donor: donor.objects.verified(key))
        try:
            frames = check_pack(self._repository.cipher.unwrap(key, data), self._repository.cipher.hash)
        except KeyMissingError:
            if key not in rows:
                raise DamageError("No index names it, and no identity on this host opens it.") from None
            pack = rows[key]
        else:
            pack = index_pack(key, frames, len(data))
        if step.act is not Act.INDEX:
            put_object(self._repository, key, data)
        return pack

    # Keys and manifests, which are not named by their hash

    def _put(self, step: RepairStep, data: Buffer) -> None:
        if step.act is Act.REPLACE:
            self._repository.store.replace(step.key, data)
        else:
            self._repository.store.create(step.key, data)
        if bytes(self._repository.store.get(step.key)) != bytes(data):
            raise DamageError("It reads back different from what was written.")

    def _mend_key(self, step: RepairStep) -> None:
        cipher, key = cipher_of(self._repository), step.key
        problem = {each.key: each for each in key_problems(self._repository.cipher)}.get(key)
        if step.act is not Act.TAKE and problem is None:
            return  # somebody else mended it
        if step.act is Act.MAKE and problem and problem.recipient:
            put_key(cipher.objects, key, wrapped_key(cipher.objects, Recipient(problem.recipient)))
            return

        def take(donor: Repository) -> Buffer:
            data = donor.store.get(key)
            if what := object_problem(cipher_of(donor), key, data=data):
                raise DamageError(f"It {what}.")
            return data

        self._put(step, self._from_donors(step, take))

    def _mend_manifests(self, steps: Sequence[RepairStep]) -> None:
        """A point that is not whole is not put back: what a manifest names must be there (FORMAT.md §7)."""
        if not steps:
            return
        self._repository.indexes(fresh=True)
        committed = []
        for step in steps:
            before = len(self.done)
            self._try(step, self._mend_manifest)
            committed += self.done[before:]
        self._look_again(committed)

    def _mend_manifest(self, step: RepairStep) -> None:
        key, point = step.key, step.point
        assert point is not None
        if step.act is Act.REPLACE and self._holds(key, point):
            return
        self._require_whole(point)

        def take(donor: Repository) -> Buffer:
            data = donor.store.get(key)
            if self._decode(key, data) != point:
                raise DamageError("It has changed since the plan was made.")
            return data

        self._put(step, self._from_donors(step, take))

    def _require_whole(self, point: RecoveryPoint) -> None:
        needs = needs_of(self._repository, point)
        for text in needs.findings:
            raise DamageError(text)
        for key in sorted(needs.packs & doomed_packs(self._repository.objects)):
            raise DamageError(
                f"{key} is being deleted by prune. Repair again after the next prunes.", subject=key
            )

    def _holds(self, key: str, point: RecoveryPoint) -> bool:
        try:
            return self._decode(key, self._repository.store.get(key)) == point
        except (DamageError, NotFoundError):
            return False

    def _decode(self, key: str, stored: Buffer) -> RecoveryPoint:
        repository = self._repository
        plain = repository.cipher.unwrap(key, stored)
        return decode_manifest(key, plain, repository.objects.codec)

    def _look_again(self, committed: Sequence[RepairStep]) -> None:
        """Check the packs again, as a writer does after its commit: prune may have begun to delete before it could
        see the manifest."""
        doomed = read_tombstones(
            self._repository.objects, final=True
        ).doomed  # first: prune deletes the packs after it
        listed = self._repository.objects.packs()
        for step, key in _needed(self._repository, committed):
            if key in doomed or key not in listed:
                self.failed.append(
                    f"{name_of_step(step)} was restored, but it needs {key}, which is being deleted by prune. "
                    "Repair again after the next prunes."
                )


def _needed(repository: Repository, steps: Sequence[RepairStep]) -> Iterator[tuple[RepairStep, str]]:
    for step in steps:
        if step.point is not None:
            for key in sorted(needs_of(repository, step.point).packs):
                yield step, key


def name_of_step(step: RepairStep) -> str:
    return point_name(step.point) if step.point else step.key
