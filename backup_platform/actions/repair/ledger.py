"""Records of the ledger by older versions: authentic ones get names that show that a holder of the key made
them."""

from __future__ import annotations

from collections import Counter

from backup_platform.actions.evidence import Evidence
from backup_platform.actions.repair.plan import Act, RepairStep
from backup_platform.domain.words import how_many
from backup_platform.repository.objects.record_names import kind_of
from backup_platform.repository.repository import Repository


def ledger_steps(repository: Repository) -> tuple[list[RepairStep], list[str]]:
    """A step for each kind of record, and a sentence about forged records, which cannot be repaired. Writes nothing."""
    found = Evidence(repository).of_all()
    steps = [
        RepairStep(
            Act.ADOPT, kind, f"{how_many(number, 'record')} of an older version, authentic by its content"
        )
        for kind, number in sorted(Counter(map(kind_of, found.older)).items())
    ]
    return steps, found.findings()
