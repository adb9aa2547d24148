"""The objects below `keys/` that an encrypted repository lost (FORMAT.md §9). Writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from backup_platform.actions.repairing.donors import Donor
from backup_platform.actions.repairing.steps import Act, RepairStep
from backup_platform.domain.ports import Buffer
from backup_platform.errors import DamageError, NotFoundError
from backup_platform.repository.format import KEYS, digest, unsign
from backup_platform.repository.recipients import ADDED, RETIRED
from backup_platform.repository.repository import Repository
from backup_platform.repository.rewrapped import REWRAPPED


def key_steps(repository: Repository, donors: Sequence[Donor]) -> tuple[list[RepairStep], list[str]]:
    """What to put back, and a sentence for each damaged object that no copy has.

    A recipient that only a copy has may have been added there on purpose: it is not taken, unless this repository has
    lost all of its own.
    """
    here = {found.key for found in repository.store.list(KEYS)}
    steps, lost = [], []
    for key in sorted(here):
        problem = key_problem(repository, key)
        if not problem:
            continue
        if step := _step(Act.REPLACE, key, problem, donors):
            steps.append(step)
        else:
            lost.append(f"{key} {problem}, and no copy has it.")
    return [*steps, *_missing(here, donors)], lost


def _missing(here: set[str], donors: Sequence[Donor]) -> list[RepairStep]:
    there = {found.key for donor in donors for found in donor.repository.store.list(KEYS)} - here
    names = {key.removesuffix(ADDED).removesuffix(RETIRED) for key in here if not key.startswith(REWRAPPED)}
    any_left = any(key.endswith(ADDED) for key in here)
    wanted = [key for key in sorted(there) if not any_left or key.removesuffix(ADDED) in names]
    return [step for key in wanted if (step := _step(Act.TAKE, key, "it is missing", donors))]


def _step(act: Act, key: str, why: str, donors: Sequence[Donor]) -> RepairStep | None:
    names = tuple(donor.name for donor in donors if not key_problem(donor.repository, key))
    return RepairStep(act, key, why, names) if names else None


def key_problem(repository: Repository, key: str, data: Buffer | None = None) -> str:
    """What is wrong with an object below `keys/`; of a wrapped repository key only its identity can tell."""
    if data is None:
        with suppress(NotFoundError):
            data = repository.store.get(key)
    if data is None:
        return "is missing"
    if key.startswith(REWRAPPED):
        return "" if digest(data).hex() == key[-64:] else "is damaged"
    if not key.endswith((ADDED, RETIRED)):
        return ""
    try:
        _, document = unsign(key, repository.cipher.unwrap(key, data), repository.cipher.hash)
    except DamageError:
        return "is damaged"
    return "" if document.get("repository") == repository.info.id else "belongs elsewhere"
