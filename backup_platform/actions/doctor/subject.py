"""What `doctor` examines of a plan: put together here, looked at in `run.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Protocol

from backup_platform.actions.doctor.run import Examination, probe_copy
from backup_platform.actions.trust.fingerprints import FingerprintCheck
from backup_platform.advice import Command, command
from backup_platform.domain.model import RecoveryPoint
from backup_platform.domain.ports import Clock, Source
from backup_platform.domain.windows.health import MissedWindows
from backup_platform.repository.repository import Repository

if TYPE_CHECKING:
    from backup_platform.plan import Plan


class BoundPlan(Protocol):
    """A plan, bound to one of its repositories."""

    @property
    def repository(self) -> Repository: ...

    def points(self) -> list[RecoveryPoint]: ...

    def probe(self) -> str: ...


class ScheduledPlan(Protocol):
    """A plan, bound to one of its repositories, with the windows of its sources."""

    @property
    def repository_name(self) -> str: ...

    @property
    def plan(self) -> Plan: ...

    @property
    def clock(self) -> Clock: ...

    def missing(self, source: str, now: datetime) -> MissedWindows: ...


def due_windows(bound: ScheduledPlan, names: Sequence[str]) -> dict[str, Callable[[], MissedWindows]]:
    """By source, in the repository that backups go to; the sensor `copies` and `copies_in_place` tell of the others."""
    if bound.repository_name != names[0]:
        return {}
    return {source: partial(bound.missing, source, bound.clock.now()) for source in bound.plan.sources}


def copy_probes(
    names: Sequence[str], own: str, at: Callable[[str], BoundPlan]
) -> dict[str, Callable[[], str]]:
    """How to look at each copy, where `own` is the first of the plan's repositories, of which the others are copies."""
    if own != names[0]:
        return {}

    def look(name: str) -> str:
        copy = at(name)
        found = probe_copy(lambda: at(own).repository, copy.repository, len(copy.points()))
        return f"{found}; {copy.probe()}"

    return {name: partial(look, name) for name in names[1:]}


def filled_by(names: Sequence[str], own: str) -> Callable[[str], Command]:
    """The command that stores a source's points in a repository: `backup` for the first one, `copy` for the
    others."""
    if own == names[0]:
        return lambda source: command("backup", source)
    return lambda source: command("copy", source, "--to", own, repository=names[0])


class ExaminedPlan(BoundPlan, ScheduledPlan, Protocol):
    """A plan, bound to one of its repositories."""

    @property
    def plan_path(self) -> str: ...

    @property
    def recognising(self) -> FingerprintCheck: ...

    def at(self, repository: str | None) -> BoundPlan: ...

    def source(self, name: str) -> Source: ...


def examination(bound: ExaminedPlan, known_channels: Callable[[list[str]], list[str]]) -> Examination:
    plan, names = bound.plan, list(bound.plan.repositories)

    return Examination(
        plan_path=bound.plan_path,
        secrets=lambda: (plan.references(), plan.unresolved()),
        sources={name: partial(_probe, bound, name) for name in plan.sources},
        repository=lambda: bound.repository,
        store=bound.probe,
        points=bound.points,
        windows=due_windows(bound, names),
        channels=lambda: known_channels([plan.secret(url) for url in plan.alerts]),
        copies=copy_probes(names, bound.repository_name, bound.at),
        filled_by=filled_by(names, bound.repository_name),
        drills={name: source.drill for name, source in plan.sources.items()},
        recognising=lambda: bound.recognising,
        now=bound.clock.now,
    )


def _probe(bound: ExaminedPlan, name: str) -> str:
    return bound.source(name).probe()
