"""What a copy and the upkeep of a repository say of themselves in the UI.

Names of numbers never change, because Dagster plots them: of a copy `copied_bytes`, `packs_copied`, `duration_s`,
`throughput_mb_s`; of prune `forgotten_points`, `freed_bytes` ...; of verify `oldest_unverified_s`, `bytes_read` ...
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from backup_platform.orchestration.metadata import Metadata, cell, human_bytes

if TYPE_CHECKING:
    from backup_platform.actions.retention import ForgetPlan, ForgetSummary, Judged
    from backup_platform.actions.verify import VerifyResult

MOST_ROWS = 200  # of the table of decisions: it is kept in Dagster's database for each run


def forget_metadata(plan: ForgetPlan, summary: ForgetSummary) -> Metadata:
    """What retention decided, as numbers and as a table."""
    return {
        "points": dg.MetadataValue.int(len(plan.judged) - len(summary.forgotten)),
        "forgotten_points": dg.MetadataValue.int(len(summary.forgotten)),
        "locked_points": dg.MetadataValue.int(len(summary.refused)),
        "retention": dg.MetadataValue.md(retention_table(plan.judged)),
    }


def retention_table(judged: Sequence[Judged]) -> str:
    """Every point with what becomes of it and why, by source, the newest first; of many, the newest."""
    newest = sorted(judged, key=lambda each: (each.point.window.start, each.point.sequence), reverse=True)
    shown = sorted(newest[:MOST_ROWS], key=lambda each: each.point.source)
    rows = [
        f"| {each.point.source} | {each.point.window.key} | `{each.point.id[:12]}` | "
        f"{'keep' if each.decision.keep else '**forget**'} | {cell('; '.join(each.decision.reasons))} |"
        for each in shown
    ]
    more = len(judged) - len(shown)
    note = [f"\nand {more:,} older points: `backup-platform retention` lists all."] if more else []
    head = ["| source | window | point | | why |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows, *note])


def verify_metadata(result: VerifyResult) -> Metadata:
    """What was read now, and how far the reading of everything is."""
    numbers: Metadata = {
        "points": dg.MetadataValue.int(len(result.points)),
        "packs_read": dg.MetadataValue.int(result.packs_read),
        "bytes_read": dg.MetadataValue.int(result.bytes_read),
        "duration_s": dg.MetadataValue.float(result.duration_s),
    }
    status = result.rotation
    if status is None:
        return numbers
    days = status.oldest_s / 86_400
    cycle = f"{status.cycle_s / 86_400:g} days"
    text = f"{human_bytes(status.size)} stored, {status.share_read:.0%} read within the last {cycle}."
    return {
        "summary": dg.MetadataValue.md(
            f"{text} The byte that was read longest ago waits for {days:.1f} days."
        ),
        **numbers,
        "stored_bytes": dg.MetadataValue.int(status.size),
        "bytes_read_in_cycle": dg.MetadataValue.int(status.size_read),
        "bytes_never_read_again": dg.MetadataValue.int(status.size_never),
        "read_share": dg.MetadataValue.float(round(status.share_read, 4)),
        "oldest_unverified_s": dg.MetadataValue.float(round(status.oldest_s, 1)),
        "damaged_packs": dg.MetadataValue.int(len(status.damaged)),
    }
