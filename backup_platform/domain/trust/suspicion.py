"""Does a new recovery point hold what its source should hold? It is judged at its commit, in comparison with the
accepted points before it.

A source that was emptied, or lost most of its contents, is stored as well as any other. Median and median absolute
deviation (MAD) are robust: one strange point in the history changes neither. A suspect point never becomes part of the
history by itself. So waiting changes nothing: a person or the plan must accept it, or the source must be corrected.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from statistics import median

from backup_platform.advice import Advice, command
from backup_platform.domain.model import Json, RecoveryPoint, Stats
from backup_platform.domain.trust.latest import in_time
from backup_platform.domain.words import at_most, how_many

HISTORY = 100  # points that are looked at for whether it was ever so before
RECENT = 14  # of them, for what is usual
ENOUGH = (
    5  # points before the usual says something; with fewer only a tenth of the least of them is too little
)
TENTH = 0.1
GROWN = 5.0
NORMAL_DEVIATIONS = 3.0
MAD_TO_SIGMA = 1.4826
FEW_FILES, FEW_BYTES, FEW_ROWS = 20, 100_000, 100  # half of less than this is no ground
FEW_LATELY = 20  # rows: a table that had fewer may be a queue, until it had some in enough points
LISTED = 10


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much a point holds. `rows` is by table, and None if the source has no tables. `uncounted` are tables whose
    rows the source could not count. Tables that the database keeps for itself are left out, because their rows change
    without the application."""

    files: int = 0
    bytes: int = 0
    rows: Mapping[str, int] | None = None
    uncounted: int = 0

    @classmethod
    def of(cls, stats: Stats, facts: Mapping[str, Json]) -> Amounts:
        counts, uncounted = facts.get("row_counts"), facts.get("uncounted_tables")
        if not isinstance(counts, dict):
            return cls(stats.files, stats.source_bytes)
        kept = facts.get("internal_tables")
        internal = kept if isinstance(kept, list) else []
        rows = {name: n for name, n in counts.items() if isinstance(n, int) and name not in internal}
        return cls(
            stats.files, stats.source_bytes, rows, len(uncounted) if isinstance(uncounted, dict) else 0
        )

    @property
    def nothing(self) -> bool:
        """No table at all, or neither a file nor a byte."""
        if self.rows is not None:
            return not self.rows and not self.uncounted
        return not self.files and not self.bytes

    @property
    def all_rows(self) -> int:
        return sum((self.rows or {}).values())

    def __str__(self) -> str:
        if self.rows is None:
            return f"{how_many(self.files, 'file')} with {how_many(self.bytes, 'byte')}"
        return f"{how_many(len(self.rows) + self.uncounted, 'table')} with {how_many(self.all_rows, 'row')}"


@dataclass(frozen=True, slots=True)
class Demands:
    """What the plan says about the contents of a source. With `allow_empty` the source, or any table, may be empty;
    `may_be_empty` are tables that may be. `shrink` is the share of the usual amount that it may lose, below 1. The
    others are required: at least so many `files` and `bytes`, these `paths` and `tables`, and at least so many `rows`
    in all tables that match a pattern."""

    allow_empty: bool = False
    may_be_empty: tuple[str, ...] = ()
    shrink: float = 0.5
    files: int = 0
    bytes: int = 0
    paths: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    rows: Mapping[str, int] = field(default_factory=dict)


def suspicion(
    points: Collection[RecoveryPoint], point: RecoveryPoint, demands: Demands, found: Collection[str] = ()
) -> tuple[str, ...]:
    """Why a point is suspect in comparison with all earlier points of its source; () if it is not. An incomplete point
    shows the least that its source had, and some sources never have a complete one. Complete points are also compared
    alone, because an incomplete point that holds almost nothing would hide a loss."""
    for incomplete in (True, False):
        history = baseline(points, point.kind, incomplete=incomplete)
        amounts = [Amounts.of(each.stats, each.facts) for each in history]
        if reasons := judge(amounts, Amounts.of(point.stats, point.facts), demands, found):
            return reasons
    return ()


def baseline(
    points: Iterable[RecoveryPoint], kind: str, before: int | None = None, *, incomplete: bool = False
) -> list[RecoveryPoint]:
    """The accepted points, oldest first, with which a new point of this kind, or the one with the sequence `before`, is
    compared. Incomplete ones are only included with `incomplete`. Each window counts once, by its last capture."""
    chosen: dict[str, RecoveryPoint] = {}
    for point in sorted(points, key=lambda each: each.sequence):
        earlier = before is None or point.sequence < before
        if (
            earlier
            and point.kind == kind
            and (incomplete or not point.incomplete)
            and not point.is_suspect
            and in_time(point)
        ):
            chosen.pop(point.window.key, None)
            chosen[point.window.key] = point
    return list(chosen.values())[-HISTORY:]


def advice(point: RecoveryPoint) -> Advice:
    """What to do about a suspect point."""
    return (
        "Look at the source. If it is as it should be: ",
        command("accept", point.id[:12], "--reason", "TEXT"),
        ". Otherwise correct it, and run ",
        command("backup", point.source),
        ".",
    )


def judge(
    history: Sequence[Amounts], current: Amounts, demands: Demands, found: Collection[str] = ()
) -> tuple[str, ...]:
    """Why a point is suspect; () if it is not. `history` are the accepted points before it, oldest first. `found` are
    the demanded paths that it holds."""
    unmet = list(_unmet(current, demands, found))
    if current.nothing and not demands.allow_empty:
        if not history:
            return (f"it holds nothing ({current}), and there is no accepted point to compare with", *unmet)
        if not history[-1].nothing:
            return (f"it holds nothing ({current}); the last accepted point has {history[-1]}", *unmet)
    less = [*_emptied(history, current, demands), *_shrunk(history, current, demands)]
    return (*unmet, *at_most(less, LISTED, "of this kind"))


def _unmet(current: Amounts, demands: Demands, found: Collection[str]) -> Iterator[str]:
    for name, wanted, there in (
        ("file", demands.files, current.files),
        ("byte", demands.bytes, current.bytes),
    ):
        if there < wanted:
            yield f"the plan expects at least {how_many(wanted, name)}, and there are {there:,}"
    rows = current.rows or {}
    yield from (f"the plan expects {path}, which is not in it" for path in demands.paths if path not in found)
    for pattern in demands.tables:
        if not any(fits(name, (pattern,)) for name in rows):
            yield f"the plan expects a table {pattern}, which is not in it"
    for pattern, wanted in demands.rows.items():
        there = sum(count for name, count in rows.items() if fits(name, (pattern,)))
        if there < wanted:
            yield f"the plan expects at least {how_many(wanted, 'row')} in {pattern}, and there are {there:,}"


def _emptied(history: Sequence[Amounts], current: Amounts, demands: Demands) -> Iterator[str]:
    """Something of it that had contents in every accepted point has none."""
    if not history or demands.allow_empty:
        return
    if current.rows is None:
        if not current.bytes and all(each.bytes for each in history):
            yield f"it has {current}; the last accepted point has {how_many(history[-1].bytes, 'byte')}"
        return
    tables = [name for name, count in current.rows.items() if not count and _was_filled(history, name)]
    for name in tables:
        if not fits(name, demands.may_be_empty):
            yield f"the table {name} is empty; the last accepted point has {_rows(history[-1], name):,} rows of it"
    rows = current.rows and not current.all_rows and all(each.all_rows for each in history)
    if rows and not tables and not all(fits(name, demands.may_be_empty) for name in current.rows):
        yield f"all its tables are empty; the last accepted point has {how_many(history[-1].all_rows, 'row')}"


def _was_filled(history: Sequence[Amounts], name: str) -> bool:
    """Had rows in every accepted point. Queues and work tables did not, which shows after a while if they are small."""
    counts = [_rows(each, name) for each in history]
    return bool(counts) and all(counts) and (counts[-1] >= FEW_LATELY or len(counts) >= ENOUGH)


def _rows(amounts: Amounts, name: str) -> int:
    return (amounts.rows or {}).get(name, 0)


def _shrunk(history: Sequence[Amounts], current: Amounts, demands: Demands) -> Iterator[str]:
    measures: list[tuple[str, int, Callable[[Amounts], int]]] = [("byte", FEW_BYTES, lambda each: each.bytes)]
    if current.rows is None:
        measures.insert(0, ("file", FEW_FILES, lambda each: each.files))
    for noun, few, measure in measures:
        usual = _too_little([measure(each) for each in history], measure(current), few, demands.shrink)
        if usual:
            yield f"it has {how_many(measure(current), noun)}; usual are {usual:,}"
    for name, count in (current.rows or {}).items():
        counts = [_rows(each, name) for each in history if name in (each.rows or {})]
        if usual := _too_little(counts, count, FEW_ROWS, demands.shrink):
            yield f"the table {name} has {how_many(count, 'row')}; usual are {usual:,}"


def _too_little(history: Sequence[int], current: int, few: int, shrink: float) -> int:
    """The usual amount, if the current one is much less than the history explains, or else 0. An amount of zero is
    judged by another rule."""
    if not current or not history or _explained(history, current):
        return 0
    if len(history) < ENOUGH:
        usual, spread, allowed = min(history), 0.0, min(TENTH, 1 - shrink)
    else:
        usual, spread = _usual(history)
        allowed = 1 - shrink
    much_less = current <= usual * allowed and usual - current > NORMAL_DEVIATIONS * spread
    return usual if usual >= few and much_less else 0


def _explained(history: Sequence[int], current: int) -> bool:
    """Whether the amount was as small before. With enough points, it must have been so twice, which distinguishes a
    habit from an accident."""
    return sorted(history)[len(history) >= ENOUGH] <= current


def _usual(history: Sequence[int]) -> tuple[int, float]:
    """The median of the recent amounts, and their spread as a standard deviation estimated from the MAD."""
    recent = history[-RECENT:]
    middle = median(recent)
    return round(middle), MAD_TO_SIGMA * median([abs(each - middle) for each in recent])


def grown(history: Sequence[int], current: int) -> str:
    """A text about a size that is much larger than the history explains; "" if it is not."""
    if len(history) < ENOUGH:
        return ""
    usual, spread = _usual(history)
    if usual > 0 and current >= usual * GROWN and current - usual > NORMAL_DEVIATIONS * spread:
        return f"{current:,} bytes are {current / usual:.1f} times the usual {usual:,}"
    return ""


def fits(table: str, patterns: Iterable[str]) -> bool:
    """Whether a table matches one of the plan's patterns: `schema.table` or `table`, with `*` and `?`."""
    bare = table.rpartition(".")[2]
    return any(fnmatchcase(table if "." in pattern else bare, pattern) for pattern in patterns)
