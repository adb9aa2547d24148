"""Before a pack is deleted because another one holds its blobs, the other one is decoded and compared (FORMAT.md
§10)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from backup_platform.actions.prune.plan import PrunePlan
from backup_platform.domain.ports import Progress
from backup_platform.repository.deletion.survey import Survey
from backup_platform.repository.objects.names import PackKey, StoredPack
from backup_platform.repository.packs.decoded import Decoded
from backup_platform.repository.repository import Repository


def compared(
    repository: Repository,
    plan: PrunePlan,
    decoded: Decoded,
    again: Callable[[], PrunePlan],
    progress: Progress,
) -> PrunePlan:
    """The plan, made `again` each time a pack turns out to be different from what indexes say. It ends when all packs
    on which it relies have been read. Only packs of this plan are deleted, whatever others write meanwhile. Raises
    StoreError."""
    while asked := _asked(repository, plan) - decoded.known:
        assert plan.survey is not None
        decoded.read(repository.objects, repository.known, asked, plan.survey.said)
        wrong = sorted(key for key in asked if not plan.survey.holds(decoded, key))
        for key in wrong:
            progress.note(_told(key, decoded))
        if wrong or asked & plan.survey.disputed:
            plan = again()
    return plan


def _asked(repository: Repository, plan: PrunePlan) -> set[PackKey]:
    """The packs to decode: packs that stay in the place of others, packs that are deleted because of others, and
    packs about which indexes disagree, since these may be forged."""
    assert plan.survey is not None
    going = [*plan.delete, *plan.condemn, *plan.rewrite]
    opens = repository.cipher.reads_contents
    strange = plan.survey.disputed | {each.key for each in plan.condemn if each.key in plan.survey.stand_ins}
    looked_into = {key for key in strange - plan.survey.damaged if opens or key.meta}
    return stand_ins(plan.survey, going) | looked_into


def stand_ins(found: Survey, packs: Iterable[StoredPack]) -> set[PackKey]:
    """The packs from which blobs are taken that these packs are said to hold as well."""
    return {other for pack in packs for other in found.stand_ins.get(pack.key, ())}


def _told(key: PackKey, decoded: Decoded) -> str:
    if key in decoded.damaged:
        return f"{decoded.damaged[key]} Packs that hold the same blobs stay."
    if key in decoded.closed:
        return f"The pack {key} cannot be opened here. Packs that hold the same blobs stay."
    return f"An index is wrong about the pack {key}. The table of the pack itself is used."
