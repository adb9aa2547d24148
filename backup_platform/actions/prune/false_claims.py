"""What prune tells of before it removes it: packs that do not hold what an index says, and that nobody here can open
although they should be able to (FORMAT.md §8, §10)."""

from __future__ import annotations

from collections.abc import Mapping

from backup_platform.actions.prune.plan import PrunePlan
from backup_platform.domain.ports import Progress
from backup_platform.repository.deletion.survey import Survey
from backup_platform.repository.objects.names import PackKey
from backup_platform.repository.packs.decoded import Decoded
from backup_platform.repository.packs.false_claims import NOT_HELD, ClaimCheck
from backup_platform.repository.repository import Repository

NAMED = 3


def tell_false_claims(
    repository: Repository, plan: PrunePlan, decoded: Decoded, progress: Progress
) -> frozenset[PackKey]:
    """The packs of a plan that are not what indexes say, by what was decoded for it and by their tables. Each is
    recorded in the ledger, before anything is deleted. Raises StoreError."""
    assert plan.survey is not None
    found = _found(repository, plan, plan.survey, decoded)
    for key, reason in sorted(found.items()):
        progress.note(f"{key}: {reason}")
        repository.marks.note_false_claim(key, f"{reason} {_origin(plan.survey, key)}")
    return frozenset(found)


def _found(
    repository: Repository, plan: PrunePlan, survey: Survey, decoded: Decoded
) -> Mapping[PackKey, str]:
    check = ClaimCheck(repository.objects, survey.packs)
    opens = repository.cipher.reads_contents
    going = {pack.key for pack in (*plan.delete, *plan.condemn) if pack.key in survey.stand_ins}
    looked_at = going - survey.unindexed - decoded.packs.keys() - decoded.damaged.keys()
    read = (decoded.packs.keys() & survey.places.keys()) - survey.unindexed
    reasons = {key: NOT_HELD for key in read if not survey.holds(decoded, key)}
    reasons |= {key: check.falsely_built(key) for key in decoded.damaged}
    reasons |= {key: check.wrong(survey.said(key)) for key in looked_at if opens or key.meta}
    return {key: reason for key, reason in reasons.items() if reason}


def _origin(survey: Survey, key: PackKey) -> str:
    """When the store received the pack and the indexes that name it: an access log has the rest."""
    named = [each.stored for each in survey.indexes if key in each.rows]
    indexes = "".join(
        f" {each.key} was stored at {each.modified:%Y-%m-%d %H:%M:%S} UTC." for each in named[:NAMED]
    )
    pack = survey.packs.get(key)
    return (f"It was stored at {pack.modified:%Y-%m-%d %H:%M:%S} UTC." if pack else "") + indexes
