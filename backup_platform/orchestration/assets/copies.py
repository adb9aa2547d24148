"""The copies of a source in another repository. They are an asset downstream of its backup, with the same partitions.

Copies have their own runs. So an unreachable repository fails no backup, and a slow one delays none. Annotations must
be evaluated here, because Dagster reads the type of `context` from one.
"""

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import dagster as dg

from backup_platform.domain.model import RecoveryPoint
from backup_platform.errors import RepositoryError
from backup_platform.orchestration.assets.backups import Results, Verdicts, tag_run
from backup_platform.orchestration.assets.checks import evaluation, point_to_check
from backup_platform.orchestration.assets.graph import with_role
from backup_platform.orchestration.failures import dagster_errors
from backup_platform.orchestration.metadata.upkeep import copy_metadata
from backup_platform.orchestration.progress import LogProgress
from backup_platform.orchestration.sensors.bounded_call import BoundedCall
from backup_platform.orchestration.sensors.missed_windows import ANSWER_WITHIN_S
from backup_platform.orchestration.shown import log_of
from backup_platform.orchestration.translator import BackupTranslator

MOST_TAKEN_ALONG = 20  # by one run

if TYPE_CHECKING:
    from backup_platform.actions.points.stored import StoredPoints
    from backup_platform.app import App
    from backup_platform.domain.checks import CheckResult


def copy_asset(translator: BackupTranslator, repository: str, source: str) -> dg.AssetsDefinition:
    """Materialising a window copies its recovery point and then checks the copy. It can be done at any time."""
    key = translator.copy_key(repository, source)

    @dg.multi_asset(
        name=key.to_python_identifier(),
        specs=[with_role(translator.copy_spec(repository, source), "copy")],
        check_specs=translator.copy_check_specs(repository, source),
        can_subset=True,  # so that checks can be run again alone
    )
    def copy(context: dg.AssetExecutionContext) -> Results:
        tag_run(context, translator.copy_tags(repository, source))
        step = _CopyStep(context, translator, repository, source)
        with dagster_errors(
            context.retry_number, translator.app.plan.sources[source].retries, translator.written
        ):
            yield from step.run()

    return copy


def in_place_check(translator: BackupTranslator, source: str) -> dg.AssetChecksDefinition:
    """Whether a window's point is in the places that the plan requires. There is no verdict while there is time left to
    copy it."""
    spec = translator.copies_check_spec(source)

    @dg.multi_asset_check(
        name=f"{translator.asset_key(source).to_python_identifier()}__{spec.name}",
        specs=[spec],
        can_subset=True,
    )
    def copies_in_place(context: dg.AssetCheckExecutionContext) -> Verdicts:
        app = translator.app
        with dagster_errors(context.retry_number, app.plan.sources[source].retries, translator.written):
            point = point_to_check(context, app.points, source)
            found = in_place(app, point, _stored_where(app, point))
            if found.ran:
                yield evaluation(context, found, translator.asset_key(source), point, translator.written)
            else:
                log_of(context).info("%s", found.summary)

    return copies_in_place


def in_place(app: "App", point: RecoveryPoint, found: "Mapping[str, StoredPoints]") -> "CheckResult":
    """The verdict about a point, from the answers of its copies. Copies that did not answer are left out."""
    holdings = {name: each.held for name, each in found.items()}
    forgotten = [name for name, each in found.items() if point in each.forgotten]
    return app.copies.in_place(point, {app.repository_name: [point], **holdings}, forgotten)


def _stored_where(app: "App", point: RecoveryPoint) -> "dict[str, StoredPoints]":
    """What each copy says; one that does not answer is left out, and a run does not hang for it."""
    found = {}
    for name in app.plan.copies_of(point.source):
        with suppress(RepositoryError):
            found[name] = BoundedCall().ask(partial(_ask, app.at(name), point), ANSWER_WITHIN_S)
    return found


def _ask(app: "App", point: RecoveryPoint) -> "StoredPoints":
    return app.copies.find_stored([point])


class _CopyStep:
    """One execution for one repository, source and window."""

    def __init__(
        self, context: dg.AssetExecutionContext, translator: BackupTranslator, repository: str, source: str
    ) -> None:
        self._context = context
        self._translator = translator
        self._app = translator.app
        self._there = translator.app.at(repository)
        self._source = source
        self._key = translator.copy_key(repository, source)
        self._progress = LogProgress(log_of(context), translator.app.clock)

    def run(self) -> Results:
        if self._key in self._context.selected_asset_keys:
            from backup_platform.actions.points.find import require_window

            window = self._context.partition_key
            point = self._app.points.find(f"{self._source}@{window}")
            require_window(point, window)
            copying = self._there.copies.copying(self._app.repository)
            result = copying.run(copying.plan([point]), self._progress)
            result.require()
            yield dg.MaterializeResult(
                asset_key=self._key,
                metadata=copy_metadata(point, result, manifest=self._there.points.manifest_path(point)),
                data_version=dg.DataVersion(point.id),
            )
            yield from self._checked(point)
            self._take_along()
        else:
            yield from self._checked(point_to_check(self._context, self._there.points, self._source))

    def _take_along(self) -> None:
        """Points of windows that the schedule does not have any more: no run can be of such a window."""
        has = self._translator.has_window
        others = [p for p in self._app.points.all(self._source) if not has(self._source, p.window.key)]
        lacking = self._there.copies.find_stored(others).lacking if others else ()
        if not lacking:
            return
        newest = list(reversed(lacking))[:MOST_TAKEN_ALONG]
        log_of(self._context).info("%d points of windows of an earlier schedule are copied, too", len(newest))
        copying = self._there.copies.copying(self._app.repository)
        copying.run(copying.plan(newest), self._progress).require()

    def _checked(self, point: RecoveryPoint) -> Verdicts:
        selected = {key.name for key in self._context.selected_asset_check_keys}
        for check in self._there.copies.checks(point, self._progress):
            if check.name in selected:
                yield evaluation(self._context, check, self._key, point, self._translator.written)
