"""What `doctor` examines of a plan. It is put together here, and examined in `actions.doctor`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

from backup_platform.actions.doctor.run import Examination, probe_copy
from backup_platform.advice import Command, command
from backup_platform.domain.windows.health import MissedWindows
from backup_platform.services.bound import BoundRepository
from backup_platform.services.points import RecoveryPoints
from backup_platform.services.sources import PlannedSources
from backup_platform.services.windows import Windows


def examination(
    bound: BoundRepository, sources: PlannedSources, windows: Windows, points: RecoveryPoints
) -> Examination:
    """The examination of a plan, bound to one of its repositories. Nothing is examined yet."""
    from backup_platform.actions.doctor.coverage import coverage_findings
    from backup_platform.alerting.channels import known_channels
    from backup_platform.wiring import make_survey

    plan = bound.plan
    survey = make_survey(plan, bound.plan_path, bound.clock)
    return Examination(
        plan_path=bound.plan_path,
        secrets=lambda: (plan.references(), plan.unresolved()),
        sources={name: partial(_probe_source, sources, name) for name in plan.sources},
        repository=lambda: bound.repository,
        store=partial(probe_store, bound),
        points=cache(points.all),
        windows=_due_windows(bound, windows),
        channels=lambda: known_channels([plan.secret(url) for url in plan.alerts]),
        copies=_copy_probes(bound, sources),
        filled_by=_filled_by(bound),
        coverage=partial(coverage_findings, survey.run),
        drills={name: source.drill for name, source in plan.sources.items()},
        recognising=lambda: bound.recognising,
        now=bound.clock.now,
    )


def probe_store(bound: BoundRepository) -> str:
    """Whether the store does what a repository relies on: what was seen. Raises RepositoryError."""
    from backup_platform.wiring import probe_planned

    return probe_planned(bound.repository.store, bound.plan, bound.settings)


def _probe_source(sources: PlannedSources, name: str) -> str:
    return sources.build(name).probe()


def _due_windows(bound: BoundRepository, windows: Windows) -> dict[str, Callable[[], MissedWindows]]:
    """By source, in the repository that backups go to; the sensor `copies` and `copies_in_place` tell of the others."""
    if not bound.is_first:
        return {}
    return {source: partial(windows.missing, source, bound.clock.now()) for source in bound.plan.sources}


def _copy_probes(bound: BoundRepository, sources: PlannedSources) -> dict[str, Callable[[], str]]:
    """How to look at each copy, from the first of the plan's repositories, of which the others are copies."""
    if not bound.is_first:
        return {}

    def look(name: str) -> str:
        copy = bound.at(name)
        count = len(RecoveryPoints(copy, sources).all())
        found = probe_copy(lambda: bound.repository, copy.repository, count)
        return f"{found}; {probe_store(copy)}"

    return {name: partial(look, name) for name in bound.plan.repositories if name != bound.name}


def _filled_by(bound: BoundRepository) -> Callable[[str], Command]:
    """The command that stores a source's points in a repository: `backup` for the first one, `copy` for the
    others."""
    if bound.is_first:
        return lambda source: command("backup", source)
    return lambda source: command("copy", source, "--to", bound.name, repository=bound.first_name)
