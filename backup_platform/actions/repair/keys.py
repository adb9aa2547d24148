"""The objects below `keys/` that an encrypted repository lost (FORMAT.md §9). Writes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from backup_platform.actions.repair.donors import Donor
from backup_platform.actions.repair.plan import Act, RepairStep
from backup_platform.repository.encryption.key_objects import NAMED, KeyProblem, key_problems
from backup_platform.repository.objects.names import ADDED, KEYS, RETIRED, REWRAPPED
from backup_platform.repository.repository import Repository


def key_steps(
    repository: Repository, donors: Sequence[Donor]
) -> tuple[list[RepairStep], list[str], list[str]]:
    """The objects to restore, a sentence for each object that no repository has, and one for each that is there and
    that only a person can decide about. A recipient that only a copy
    has may have been added there on purpose. So it is not taken, unless this repository has lost all of its own
    recipients."""
    here = {found.key for found in repository.store.list(KEYS)}
    sound = {donor.name: _sound(donor.repository) for donor in donors}
    problems = {each.key: each for each in key_problems(repository.cipher)}
    steps, lost, unexpected = [], [], []
    for key, problem in problems.items():
        if step := _step(problem, sound, there=key in here):
            steps.append(step)
        elif problem.decides or problem.foreign:
            unexpected.append(str(problem))
        else:
            lost.append(str(problem))
    taken = {key: "it is missing" for key in _wanted(here, sound) if key not in problems}
    steps += [RepairStep(Act.TAKE, key, why, _with(key, sound)) for key, why in taken.items()]
    return sorted(steps, key=lambda step: step.key), lost, unexpected


def _sound(repository: Repository) -> set[str]:
    damaged = {problem.key for problem in key_problems(repository.cipher)}
    return {found.key for found in repository.store.list(KEYS)} - damaged


def _step(problem: KeyProblem, sound: dict[str, set[str]], *, there: bool) -> RepairStep | None:
    if problem.decides:
        return None
    if problem.recipient:
        return RepairStep(Act.MAKE, problem.key, problem.what)
    donors = _with(problem.key, sound) if NAMED.fullmatch(problem.key) else ()
    return (
        RepairStep(Act.REPLACE if there else Act.TAKE, problem.key, problem.what, donors) if donors else None
    )


def _with(key: str, sound: dict[str, set[str]]) -> tuple[str, ...]:
    return tuple(name for name, keys in sound.items() if key in keys)


def _wanted(here: set[str], sound: dict[str, set[str]]) -> list[str]:
    """The objects to take among those that only copies have."""
    names = {key.removesuffix(ADDED).removesuffix(RETIRED) for key in here if not key.startswith(REWRAPPED)}
    any_left = any(key.endswith(ADDED) for key in here)
    there = set[str]().union(*sound.values()) - here
    return [key for key in sorted(there) if not any_left or key.removesuffix(ADDED) in names]
