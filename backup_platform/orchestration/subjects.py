"""The subjects of runs and alerts: backups of sources, their copies, the upkeep of repositories, and coverage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import dagster as dg

from backup_platform.domain.windows.cadence import CADENCES
from backup_platform.orchestration.translator import COVERAGE_AT, MAX_RUNTIME_TAG, WORKS, BackupTranslator


@dataclass(frozen=True, slots=True)
class WatchedAsset:
    """One asset. `id` names its incidents, `name` is the start of their titles, and all its runs have the `tags`.
    `checks` are evaluated in its own runs. `cron`, in UTC, is given for assets without windows."""

    id: str
    key: dg.AssetKey
    job: str
    name: str
    work: str
    tags: Mapping[str, str]
    source: str = ""
    repository: str = ""
    cron: str = ""
    checks: tuple[dg.AssetCheckKey, ...] = ()

    @property
    def mark(self) -> dict[str, str]:
        """The tags that distinguish its runs from others."""
        return {name: value for name, value in self.tags.items() if name != MAX_RUNTIME_TAG}

    @property
    def step(self) -> str:
        return self.key.to_python_identifier()


def backups(translator: BackupTranslator, sources: Iterable[str], job: str) -> list[WatchedAsset]:
    """Sources that one job backs up."""
    return [
        WatchedAsset(
            source,
            translator.asset_key(source),
            job,
            source,
            "backup",
            translator.run_tags(source),
            source=source,
            checks=_keys(translator.check_specs(source)),
        )
        for source in sources
    ]


def copies(translator: BackupTranslator, sources: Iterable[str], job: str) -> list[WatchedAsset]:
    """The copies of sources that one job makes, by source."""
    return [
        WatchedAsset(
            f"copies/{repository}/{source}",
            translator.copy_key(repository, source),
            job,
            f"{source} in {repository}",
            "copy",
            translator.copy_tags(repository, source),
            source=source,
            repository=repository,
            checks=_keys(
                [*translator.copy_check_specs(repository, source), translator.copies_check_spec(source)]
            ),
        )
        for source in sources
        for repository in translator.app.plan.copies_of(source)
    ]


def upkeep(translator: BackupTranslator) -> list[WatchedAsset]:
    """What the plan wants done to its repositories."""
    return [
        WatchedAsset(
            f"repositories/{repository}/{work}",
            translator.upkeep_key(repository, work),
            translator.name(work),
            f"repository {repository}",
            work,
            translator.upkeep_tags(repository, work),
            repository=repository,
            cron=translator.upkeep_cron(repository, work),
            checks=_keys(translator.upkeep_check_specs(repository, work)),
        )
        for work in WORKS
        for repository in translator.repositories_with(work)
    ]


def coverage(translator: BackupTranslator) -> list[WatchedAsset]:
    """The look for what is in no source; none where the plan does not say where."""
    if not translator.app.plan.coverage:
        return []
    subject = WatchedAsset(
        "plan/coverage",
        translator.coverage_key(),
        translator.name("coverage"),
        "plan",
        "coverage",
        translator.coverage_tags(),
        cron=CADENCES["day"].tick_cron(COVERAGE_AT),
        checks=_keys(translator.coverage_check_specs()),
    )
    return [subject]


def _keys(specs: Iterable[dg.AssetCheckSpec]) -> tuple[dg.AssetCheckKey, ...]:
    return tuple(spec.key for spec in specs)
