"""Fill a Dagster instance with what the repositories of a plan hold: what `backup-platform dagster-sync` does."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from backup_platform.clock import SILENT
from backup_platform.domain.ports import Progress
from backup_platform.errors import RepositoryError, UsageError
from backup_platform.orchestration.runs import Runs
from backup_platform.orchestration.translator import BackupTranslator
from backup_platform.orchestration.view.answers import Answer, ask
from backup_platform.orchestration.view.comparison import Comparison
from backup_platform.orchestration.view.gathering import holdings, shown_assets
from backup_platform.orchestration.view.records import DagsterRecords
from backup_platform.orchestration.view.sync import Reported, Sync

if TYPE_CHECKING:
    from backup_platform.app import App


def refill(app: App, key_prefix: Sequence[str], progress: Progress = SILENT) -> tuple[Reported, list[str]]:
    """Report everything to the instance of $DAGSTER_HOME. Also returns why repositories with copies were left out.

    Raises UsageError without $DAGSTER_HOME, RepositoryError when the first repository does not answer.
    """
    if not os.environ.get("DAGSTER_HOME"):
        raise UsageError(
            "DAGSTER_HOME is not set: there is no Dagster instance to report to.",
            hint="Set it to the directory that Dagster runs with.",
        )
    translator = BackupTranslator(app.at(None), key_prefix=tuple(key_prefix))
    with dg.DagsterInstance.get() as instance:
        return refill_instance(translator, instance, progress)


def refill_instance(
    translator: BackupTranslator, instance: dg.DagsterInstance, progress: Progress = SILENT
) -> tuple[Reported, list[str]]:
    """The same for an instance that is open."""
    answers, left_out = _answers(translator)
    assets, records = shown_assets(translator), DagsterRecords(instance)
    active = Runs(assets).active(instance, translator.app.clock.now())
    found = [Comparison(each, records, active) for each in holdings(translator, assets, answers)]
    return Sync(translator, records, progress=progress).run(found), left_out


def _answers(translator: BackupTranslator) -> tuple[dict[str, Answer], list[str]]:
    app = translator.app
    first, *others = app.plan.repositories
    answers, left_out = {first: ask(app)}, []
    for name in others:
        try:
            answers[name] = ask(app.at(name))
        except RepositoryError as error:
            left_out.append(f"{name}: {error.message}")
    return answers, left_out
