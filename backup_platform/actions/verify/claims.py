"""What indexes say of packs, compared with the packs where a key on this host opens them: also of packs that no
recovery point needs, because the next backup may refer to them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from backup_platform.domain.words import first_of, how_many
from backup_platform.repository.objects.names import PackKey
from backup_platform.repository.packs.false_claims import NOT_FOR_US, ClaimCheck
from backup_platform.repository.repository import Repository

NAMED = 3


@dataclass(frozen=True, slots=True)
class ClaimDoubts:
    """About packs that no point needs: `wrong` says by their keys what an index is wrong about, and `notes` tell of
    those that this host should be able to open and cannot."""

    wrong: dict[PackKey, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def needed_but_closed(repository: Repository, not_decoded: Collection[PackKey]) -> dict[PackKey, str]:
    """Of packs that were read and that no key opens those of which an identity here was a recipient."""
    if not repository.cipher.reads_contents or not not_decoded:
        return {}
    check = ClaimCheck(repository.objects, repository.objects.packs())
    return {key: f"{key}: {NOT_FOR_US}" for key in not_decoded if check.must_open(key)}


def doubted_claims(repository: Repository, needed: Collection[PackKey]) -> ClaimDoubts:
    """About the packs that indexes name and no point needs. Reads the table of each. Raises StoreError."""
    indexes, stored = repository.indexes(), repository.objects.packs()
    check, opens = ClaimCheck(repository.objects, stored), repository.cipher.reads_contents
    reasons: dict[PackKey, str] = {}
    for index in (indexes.contents, indexes.meta) if opens else (indexes.meta,):
        for number, key in enumerate(index.packs):
            if key in stored and key not in needed and key not in indexes.unindexed:
                (said,) = index.of_packs([number])
                reasons[key] = check.wrong(said)
    closed = sorted(key for key, reason in reasons.items() if reason == NOT_FOR_US)
    wrong = {key: f"{key}: {why}" for key, why in reasons.items() if why and why != NOT_FOR_US}
    return ClaimDoubts(wrong, (_note(closed),) if closed else ())


def _note(closed: Sequence[PackKey]) -> str:
    return (
        f"Indexes name {how_many(len(closed), 'pack')} that no point needs, and that no identity on this host opens, "
        f"although one of them was a recipient when they were stored: {first_of(closed, NAMED)}. Find out who stored "
        "them. Prune on a host with an identity records and deletes them."
    )
