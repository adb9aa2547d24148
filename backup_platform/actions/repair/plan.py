"""What a repair would do, for people to read before it is done."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from backup_platform.domain.model import RecoveryPoint


class Act(StrEnum):
    """What is done to one object. Sound objects are never overwritten, and only marks are deleted."""

    REPLACE = "replace"  # a damaged object, by its own bytes out of a copy
    TAKE = "take"  # an object that is missing, out of a copy
    MAKE = "make"  # the repository key for one recipient, which whoever holds both makes again
    INDEX = "index"  # a pack that no index names
    ADOPT = "adopt"  # records of an older version, under names that tell who made them
    UNMARK = "unmark"  # a pack that was marked as damaged, and is sound


@dataclass(frozen=True, slots=True)
class RepairStep:
    """One object to repair. `donors` are the copies that hold it, best first. `point` is given for a manifest."""

    act: Act
    key: str
    why: str
    donors: tuple[str, ...] = ()
    size: int = 0
    point: RecoveryPoint | None = None


@dataclass(frozen=True, slots=True)
class RepairPlan:
    """Steps, in the order in which they are done. `lost` has one sentence for each thing that cannot be repaired now,
    and `unexpected` for each object that only a person can decide about. `notes` are other facts for people, such as a
    copy that does not answer."""

    steps: tuple[RepairStep, ...] = ()
    lost: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes to fetch from copies."""
        return sum(step.size for step in self.steps if step.donors)

    @property
    def nothing_wrong(self) -> bool:
        return not self.steps and not self.lost and not self.unexpected


@dataclass(frozen=True, slots=True)
class RepairResult:
    """`failed` says why a step was not done. `remaining` is what is still wrong afterwards, as a verify would see
    it."""

    done: tuple[RepairStep, ...]
    failed: tuple[str, ...]
    remaining: tuple[str, ...]
    bytes: int
    duration_s: float

    @property
    def sound(self) -> bool:
        return not self.failed and not self.remaining
