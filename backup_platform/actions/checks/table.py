"""The table of checks: what each one says, how severe its failure is, and who judges it. Lists of checks are read here.

Checks of some kinds of sources only stand with their kind, see `SourceKind.checks`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from backup_platform.advice import command
from backup_platform.domain.checks import Check, CheckResult, KindCheck

if TYPE_CHECKING:
    from backup_platform.actions.forget.run import ForgetSummary
    from backup_platform.actions.verify.run import ReadShare, VerifyResult
    from backup_platform.domain.coverage import Coverage
    from backup_platform.domain.keep.copies import CopiesState, CopyRule
    from backup_platform.domain.model import RecoveryPoint
    from backup_platform.domain.ports import Clock, Progress
    from backup_platform.repository.repository import Repository

GivenT = TypeVar("GivenT", contravariant=True)

STORED = Check(
    "stored",
    "error",
    "Every object that the recovery point needs is in the store, and has the right checksum.",
    remedy=(
        command("repair", "--dry-run"),
        " shows what another repository can replace. A backup in an open window stores what is missing again.",
    ),
)
COMPLETE = Check(
    "complete",
    "error",
    "Nothing was skipped, unreadable or vanished, and the counts equal the facts of the snapshot.",
    remedy="The result lists the paths. Let the backup read them, or exclude them in the plan, then capture the window "
    "again with `force`.",
)
AUTHENTIC = Check(
    "authentic",
    "error",
    "The manifest is authentic, and continues the chain of its source.",
    remedy=(
        "Manifests or records in the store were changed or deleted. ",
        command("verify", "--read", "none"),
        " lists them, and ",
        command("repair", "--dry-run"),
        " shows what another repository can replace.",
    ),
)
PLAUSIBLE = Check(
    "plausible",
    "error",
    "The point holds what its source usually holds and what the plan expects. Warns if the source has grown much.",
    remedy=(
        "Look at the source. If it is as it should be: ",
        command("accept", "POINT", "--reason", "TEXT"),
        ". Else mend it, and capture the window again.",
    ),
)
DRILL = Check(
    "drill",
    "error",
    "The point was restored into a sandbox and compared with the source's facts. Skipped while no drill is due.",
    remedy=(
        "The result lists the differences. ",
        command("drill", "POINT"),
        " repeats it. Until it passes, restore an earlier point that is proven: ",
        command("points"),
        " lists them.",
    ),
)
COPIES_IN_PLACE = Check(
    "copies_in_place",
    "error",
    "The recovery point is in as many repositories and places as the plan requires, and was copied in time.",
    blocking=False,  # nothing in the run of a backup waits for its copies
    remedy=(
        "The result names the repositories. ",
        command("copy"),
        " copies what they lack, and says why it cannot.",
    ),
)
NOTHING_REFUSED = Check(
    "nothing_refused",
    "error",
    "Every point that is not kept was forgotten, and all data that no point needs was marked or deleted.",
    remedy=(
        "The result says why. For damage, ",
        command("repair", "--dry-run"),
        " shows what another repository can replace. If the store refused to delete, give it the right to.",
    ),
)
READ_RECENTLY = Check(
    "read_recently",
    "error",
    "Every stored byte was read again within the cycle of the plan, and was sound.",
    remedy=(
        command("verify", "--due"),
        " reads what is due. For damage, ",
        command("repair", "--dry-run"),
        " shows what another repository can replace.",
    ),
)
EVERYTHING_IN_A_SOURCE = Check(
    "everything_in_a_source",
    "error",
    "All that was found where the plan's `coverage` says to look is in a source, or left out on purpose. "
    "Warns of exceptions that leave nothing out.",
    remedy=(command("coverage"), " lists what is in no source, with the lines for the plan."),
)


@dataclass(frozen=True, slots=True)
class CopyToJudge:
    """A recovery point in one repository. `whole`: that is where points are written first, so it must hold them
    all."""

    repository: Repository
    point: RecoveryPoint
    share: ReadShare
    clock: Clock
    progress: Progress
    whole: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PointToJudge(CopyToJudge):
    """A new recovery point: with `history`, the readable points of its source, and a way to `drill` it if that is
    due."""

    history: Sequence[RecoveryPoint]
    drill: Callable[[], CheckResult]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the plan wants a point, and where it is."""

    rule: CopyRule
    state: CopiesState


@dataclass(frozen=True, slots=True)
class Pruned:
    """What forgetting did, and why prune did less than the plan wants."""

    forgotten: ForgetSummary
    refused: Sequence[str]


def _stored(given: CopyToJudge) -> CheckResult:
    from backup_platform.actions.checks.points import stored

    return stored(given.repository, given.point, given.share, given.clock, given.progress)


def _complete(given: PointToJudge) -> CheckResult:
    from backup_platform.actions.checks.points import complete

    return complete(given.point)


def _authentic(given: CopyToJudge) -> CheckResult:
    from backup_platform.actions.checks.points import authentic

    return authentic(given.repository, given.point, whole=given.whole)


def _plausible(given: PointToJudge) -> CheckResult:
    from backup_platform.actions.checks.points import plausible

    return plausible(given.history, given.point)


def _drill(given: PointToJudge) -> CheckResult:
    return given.drill()


def _in_place(given: Placement) -> CheckResult:
    from backup_platform.actions.checks.copies import copies_in_place

    return copies_in_place(given.rule, given.state)


def _nothing_refused(given: Pruned) -> CheckResult:
    from backup_platform.actions.checks.repositories import nothing_refused

    return nothing_refused(given.forgotten, given.refused)


def _repository_stored(given: VerifyResult) -> CheckResult:
    from backup_platform.actions.checks.repositories import repository_stored

    return repository_stored(given)


def _read_recently(given: VerifyResult) -> CheckResult | None:
    from backup_platform.actions.checks.repositories import read_recently

    return read_recently(given.rotation) if given.rotation else None


def _everything_in_a_source(given: Coverage) -> CheckResult:
    from backup_platform.actions.checks.coverage import everything_in_a_source

    return everything_in_a_source(given)


@dataclass(frozen=True, slots=True)
class CheckRow(Generic[GivenT]):
    """A check of one thing, and who judges it; None if there is nothing to judge. `direct`: it reads the store itself,
    never this machine's cache."""

    check: Check
    judge: Callable[[GivenT], CheckResult | None]
    direct: bool = False


# Of a source's new point, in the order in which they run. Those of its kind come before the drill.
OF_POINTS: tuple[CheckRow[PointToJudge], ...] = (
    CheckRow(STORED, _stored, direct=True),
    CheckRow(COMPLETE, _complete),
    CheckRow(AUTHENTIC, _authentic, direct=True),
    CheckRow(PLAUSIBLE, _plausible),
    CheckRow(DRILL, _drill),
)
# Of a point's copy in another repository.
OF_COPIES: tuple[CheckRow[CopyToJudge], ...] = (
    CheckRow(STORED, _stored, direct=True),
    CheckRow(AUTHENTIC, _authentic, direct=True),
)
# Of all repositories that hold a point.
OF_PLACES: tuple[CheckRow[Placement], ...] = (CheckRow(COPIES_IN_PLACE, _in_place),)
# Of a repository: after forget and prune, and after its daily reading.
OF_PRUNE: tuple[CheckRow[Pruned], ...] = (CheckRow(NOTHING_REFUSED, _nothing_refused),)
OF_READING: tuple[CheckRow[VerifyResult], ...] = (
    CheckRow(STORED, _repository_stored),
    CheckRow(READ_RECENTLY, _read_recently),
)
# Of the plan: what is in no source.
OF_PLAN: tuple[CheckRow[Coverage], ...] = (CheckRow(EVERYTHING_IN_A_SOURCE, _everything_in_a_source),)


def rows_with(own: Sequence[KindCheck]) -> list[CheckRow[PointToJudge]]:
    """The checks of a source's new point. `own` are those of its kind."""
    return [*OF_POINTS[:-1], *(_row_of(check) for check in own), *OF_POINTS[-1:]]


def _row_of(check: KindCheck) -> CheckRow[PointToJudge]:
    return CheckRow(check, lambda given: check.judge(given.history, given.point))


def judged(
    rows: Sequence[CheckRow[GivenT]],
    given: GivenT,
    direct: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Iterator[CheckResult]:
    """The verdicts, in the order of the rows. Inside `direct` nothing that is read comes from this machine's cache."""
    with direct():
        read = {row.check.name: row.judge(given) for row in rows if row.direct}
    for row in rows:
        found = read[row.check.name] if row.direct else row.judge(given)
        if found is not None:
            yield found
