"""The upkeep of a repository as assets. `prune` forgets points and frees space. `verify` reads the data again that was
not read for the longest time.

Annotations must be evaluated here, because Dagster reads the type of `context` from one.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from backup_platform.actions.checks.table import OF_PRUNE, OF_READING, Pruned, judged
from backup_platform.domain.words import how_many
from backup_platform.errors import RepositoryError
from backup_platform.orchestration.assets.checks import upkeep_evaluation
from backup_platform.orchestration.assets.forgotten import gone_windows
from backup_platform.orchestration.assets.graph import with_role
from backup_platform.orchestration.concurrent_runs import run_before
from backup_platform.orchestration.failures import dagster_errors
from backup_platform.orchestration.metadata.upkeep import forget_metadata, prune_metadata, verify_metadata
from backup_platform.orchestration.progress import LogProgress
from backup_platform.orchestration.runs import Runs
from backup_platform.orchestration.shown import log_of
from backup_platform.orchestration.subjects import WatchedAsset
from backup_platform.orchestration.translator import LONGEST_UPKEEP, WORKS, BackupTranslator
from backup_platform.repository.records.proofs import recorded

if TYPE_CHECKING:
    from backup_platform.actions.prune.plan import PrunePlan
    from backup_platform.actions.prune.run import PruneSummary, Pruning

Results = Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult | dg.AssetObservation]
RETRIES = 3
DAY = timedelta(days=1)


def upkeep_asset(translator: BackupTranslator, subject: WatchedAsset) -> dg.AssetsDefinition:
    """Materialising it does the work now. If two runs do it at once, the second one fails and names the first one."""
    [work] = [each for each in WORKS if each == subject.work]
    do = {"prune": _prune, "verify": _verify}[work]

    @dg.multi_asset(
        name=subject.step,
        specs=[with_role(translator.upkeep_spec(subject.repository, work), "upkeep")],
        check_specs=translator.upkeep_check_specs(subject.repository, work),
    )
    def upkeep(context: dg.AssetExecutionContext):  # type: ignore[no-untyped-def]
        first = run_before(context.instance, context.run.run_id, Runs([subject]), LONGEST_UPKEEP)
        if first:
            raise dg.Failure(
                f"Run {first} is already doing this: {work} of {subject.repository}.", allow_retries=False
            )
        with dagster_errors(context.retry_number, RETRIES, translator.written):
            yield from do(context, translator, subject)

    return upkeep


def _prune(context: dg.AssetExecutionContext, translator: BackupTranslator, subject: WatchedAsset) -> Results:
    """Forget and prune. Forgotten points are reported even if pruning fails afterwards."""
    maintenance = translator.app.at(subject.repository).maintenance
    progress = LogProgress(log_of(context), translator.app.clock)
    decided = maintenance.retention.plan_forget()
    forgotten = maintenance.retention.run_forget(decided, progress)
    records = maintenance.forgotten(_last_told(context.instance, subject.key))
    yield from gone_windows(translator, subject.repository, context.instance, records)
    planned, done, refused = _freed(maintenance.pruning(), progress)
    numbers = {**prune_metadata(planned, done), **forget_metadata(decided, forgotten)}
    yield dg.MaterializeResult(asset_key=subject.key, metadata=numbers)
    for found in judged(OF_PRUNE, Pruned(forgotten, refused)):
        yield upkeep_evaluation(found, subject.key)


def _freed(
    pruning: "Pruning", progress: LogProgress
) -> "tuple[PrunePlan, PruneSummary | None, Sequence[str]]":
    """What prune was to do and did; None, and why, when it refused because something cannot be read. Also why it did
    less than that."""
    planned = pruning.plan()
    try:
        done = pruning.run(planned, progress)
    except RepositoryError:
        if not planned.refusals:
            raise
        return planned, None, planned.refusals
    damaged = [f"wrong contents in {how_many(done.damaged, 'pack')}"] if done.damaged else []
    if done.false_claims:
        damaged.append(
            f"indexes make false claims about {how_many(done.false_claims, 'pack')}: `doctor` tells of it"
        )
    if done.disputed:
        damaged.append(
            f"indexes disagree about {how_many(done.disputed, 'pack')}: somebody stored a wrong one"
        )
    refused = [f"{how_many(done.refused, 'object')} not deleted: {done.refusal}"] if done.refused else []
    return planned, done, [*damaged, *refused]


def _last_told(instance: dg.DagsterInstance, key: dg.AssetKey) -> datetime | None:
    """Since when forgotten points may be news, with room for clocks that differ."""
    last = instance.get_latest_materialization_event(key)
    return datetime.fromtimestamp(last.timestamp, UTC) - 2 * DAY if last else None


def _verify(
    context: dg.AssetExecutionContext, translator: BackupTranslator, subject: WatchedAsset
) -> Results:
    app = translator.app.at(subject.repository)
    result = recorded(app.proofs.verify(read="due", progress=LogProgress(log_of(context), app.clock)))
    yield dg.MaterializeResult(asset_key=subject.key, metadata=verify_metadata(result))
    for found in judged(OF_READING, result):
        yield upkeep_evaluation(found, subject.key)
