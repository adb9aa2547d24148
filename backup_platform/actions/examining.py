"""What `doctor` examines of a plan: put together here, looked at in `actions.doctor`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from backup_platform.actions.doctor import (
    Bound,
    Examination,
    Scheduled,
    copy_probes,
    due_windows,
    filled_by,
)
from backup_platform.actions.recognising import Recognising
from backup_platform.domain.ports import Source


class Examined(Bound, Scheduled, Protocol):
    """A plan, bound to one of its repositories."""

    @property
    def plan_path(self) -> str: ...

    @property
    def recognising(self) -> Recognising: ...

    def at(self, repository: str | None) -> Bound: ...

    def source(self, name: str) -> Source: ...


def examination(bound: Examined, known_channels: Callable[[list[str]], list[str]]) -> Examination:
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


def _probe(bound: Examined, name: str) -> str:
    return bound.source(name).probe()
