"""The metadata of copies and of a repository's upkeep in the UI.

Names of numbers never change, because Dagster plots them: of a copy `copied_bytes`, `packs_copied`, `duration_s`,
`throughput_mb_s`; of prune `forgotten_points`, `freed_bytes` ...; of verify `oldest_unverified_s`, `bytes_read` ...
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from backup_platform.advice import command, written
from backup_platform.domain import words
from backup_platform.orchestration import shown
from backup_platform.orchestration.metadata.points import Metadata

if TYPE_CHECKING:
    from backup_platform.actions.copy.run import CopyResult
    from backup_platform.actions.forget.run import ForgetPlan, ForgetSummary, Judged
    from backup_platform.actions.prune.plan import PrunePlan
    from backup_platform.actions.prune.run import PruneSummary
    from backup_platform.actions.verify.run import VerifyResult
    from backup_platform.domain.model import RecoveryPoint

MOST_ROWS = 200  # of the table of decisions: it is kept in Dagster's database for each run


def copy_metadata(point: RecoveryPoint, result: CopyResult, *, manifest: str) -> Metadata:
    """The metadata of one copied recovery point. `manifest` is the place of its manifest in the other repository,
    for people."""
    copied = any(each.id == point.id for each in result.copied)
    speed = result.bytes / 1e6 / result.duration_s if result.duration_s > 0 else 0.0
    how = "copied" if copied else "was there already and was kept"
    summary = (
        f"Recovery point {shown.code(point.id[:12])} of {shown.code(point.source)} {how}: "
        f"{words.size(result.bytes)} moved."
    )
    return {
        "summary": shown.markdown(summary),
        "recovery_point": shown.text(point.id),
        "manifest": shown.path(manifest),
        "window": shown.text(point.window.key),
        "captured_at": dg.MetadataValue.timestamp(point.captured_at),
        "copied": dg.MetadataValue.bool(copied),
        "copied_bytes": dg.MetadataValue.int(result.bytes),
        "packs_copied": dg.MetadataValue.int(result.packs),
        "duration_s": dg.MetadataValue.float(round(result.duration_s, 3)),
        "throughput_mb_s": dg.MetadataValue.float(round(speed, 3)),
    }


def forget_metadata(plan: ForgetPlan, summary: ForgetSummary) -> Metadata:
    """What retention decided, as numbers and as a table."""
    return {
        "points": dg.MetadataValue.int(len(plan.judged) - len(summary.forgotten)),
        "forgotten_points": dg.MetadataValue.int(len(summary.forgotten)),
        "locked_points": dg.MetadataValue.int(len(summary.locked)),
        "retention": shown.markdown(retention_table(plan.judged)),
    }


def prune_metadata(plan: PrunePlan, done: PruneSummary | None) -> Metadata:
    """What was freed, and how large the repository is. `done` is None if prune refused."""
    size: Metadata = {
        "packs": dg.MetadataValue.int(plan.packs),
        "stored_bytes": dg.MetadataValue.int(plan.pack_bytes),
        "wasted_bytes": dg.MetadataValue.int(plan.wasted_bytes),
    }
    if done is None:
        return size
    condemned = f"{done.packs_condemned} more marked ({words.size(done.condemned_bytes)})"
    deleted = f"{words.size(done.freed_bytes)} freed: {words.how_many(done.packs_deleted, 'pack')} deleted, {condemned}"
    return {
        "summary": shown.markdown(
            f"{deleted}, to be deleted {plan.grace.total_seconds() / 3600:g} hours later at the earliest."
        ),
        **size,
        "freed_bytes": dg.MetadataValue.int(done.freed_bytes),
        "packs_deleted": dg.MetadataValue.int(done.packs_deleted),
        "packs_condemned": dg.MetadataValue.int(done.packs_condemned),
        "condemned_bytes": dg.MetadataValue.int(done.condemned_bytes),
        "packs_rewritten": dg.MetadataValue.int(done.packs_rewritten),
        "rewritten_bytes": dg.MetadataValue.int(done.rewritten_bytes),
        "doubted_packs": dg.MetadataValue.int(done.doubted),
        "doubted_bytes": dg.MetadataValue.int(done.doubted_bytes),
        "locked_objects": dg.MetadataValue.int(done.locked),
        "locked_bytes": dg.MetadataValue.int(done.locked_bytes),
        "duration_s": dg.MetadataValue.float(done.duration_s),
    }


def retention_table(judged: Sequence[Judged]) -> str:
    """Every point, with its decision and the reasons: one table for each source, newest first. If there are many, only
    the newest."""
    newest = sorted(judged, key=lambda each: (each.point.window.start, each.point.sequence), reverse=True)
    tables: dict[str, list[str]] = {}
    for each in newest[:MOST_ROWS]:
        tables.setdefault(each.point.source, []).append(_row(each))
    texts = [
        "\n".join([f"**{shown.prose(source)}**\n", "| window | point | |", "|---|---|---|", *rows])
        for source, rows in sorted(tables.items())
    ]
    left = len(judged) - MOST_ROWS
    lists = written((f"{words.more(left, 'older points')}: ", command("retention"), " lists all."))
    note = [lists] if left > 0 else []
    return "\n\n".join([*texts, *note])


def _row(each: Judged) -> str:
    """Narrow, as the UI's column is."""
    fate = "keep" if each.decision.keep else "**forget**"
    why = shown.prose(_first(each.decision.reasons))
    return f"| {shown.prose(each.point.window.key)} | {shown.code(each.point.id[:8])} | {fate}: {why} |"


def _first(reasons: Sequence[str]) -> str:
    """The UI's column is narrow: `retention --explain` tells the others."""
    more = len(reasons) - 1
    return f"{reasons[0]} (+{more})" if more else reasons[0]


def verify_metadata(result: VerifyResult) -> Metadata:
    """What was read now, and the progress of the read cycle."""
    numbers: Metadata = {
        "points": dg.MetadataValue.int(len(result.points)),
        "packs_read": dg.MetadataValue.int(result.packs_read),
        "bytes_read": dg.MetadataValue.int(result.bytes_read),
        "duration_s": dg.MetadataValue.float(result.duration_s),
    }
    status = result.rotation
    if status is None:
        return numbers
    cycle = words.days(status.cycle_s / words.DAY_S)
    text = f"{words.size(status.size)} stored, {status.share_read:.0%} read within the last {cycle}."
    return {
        "summary": shown.markdown(
            f"{text} The byte that was read longest ago waits for {words.days(status.oldest_s / words.DAY_S)}."
        ),
        **numbers,
        "stored_bytes": dg.MetadataValue.int(status.size),
        "bytes_read_in_cycle": dg.MetadataValue.int(status.size_read),
        "bytes_never_read_again": dg.MetadataValue.int(status.size_never),
        "read_share": dg.MetadataValue.float(round(status.share_read, 4)),
        "oldest_unverified_s": dg.MetadataValue.float(round(status.oldest_s, 1)),
        "damaged_packs": dg.MetadataValue.int(len(status.damaged)),
    }
