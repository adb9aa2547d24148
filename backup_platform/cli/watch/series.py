"""The metrics of `metrics`, as docs/operations.md lists them. Names and meanings only ever get added to.

What is not known has no sample: neither 0 nor a time is made up for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import TypeAlias, TypeVar

from backup_platform.cli.display.exposition import GaugeFamily, MetricSample
from backup_platform.domain.coverage import Coverage, CoverageGap, PlaceCoverage
from backup_platform.domain.status.evidence import shown_at
from backup_platform.domain.status.values import PlanStatus, RepositoryStatus, SourceStatus
from backup_platform.domain.status.words import RepositoryState, SourceState

PREFIX = "backup_platform_"

Of = TypeVar("Of")
Gauge: TypeAlias = tuple[str, str, Callable[[Of], float | None]]

SOURCES: tuple[Gauge[SourceStatus], ...] = (
    ("bad", "Whether somebody has to act for the source.", lambda s: int(s.state.is_bad)),
    (
        "last_point_timestamp_seconds",
        "The time that the data of the newest sound point shows.",
        lambda s: _at(shown_at(s.last)) if s.last else None,
    ),
    (
        "last_proven_point_timestamp_seconds",
        "The time that the data of the newest proven point shows.",
        lambda s: _at(shown_at(s.proven)) if s.proven else None,
    ),
    (
        "last_proven_timestamp_seconds",
        "When the drill of the newest proven point passed.",
        lambda s: _at(s.proven_at) if s.proven_at else None,
    ),
    (
        "rpo_seconds",
        "How old the data of the newest sound point was when this was written.",
        lambda s: _span(s.rpo.measured),
    ),
    (
        "rpo_objective_seconds",
        "How old it may be, by rpo in the plan.",
        lambda s: _span(s.rpo.wanted),
    ),
    (
        "rto_seconds",
        "How long a restore of the newest sound point takes, by earlier drills.",
        lambda s: _span(s.rto.measured),
    ),
    ("rto_objective_seconds", "How long it may take, by rto in the plan.", lambda s: _span(s.rto.wanted)),
    (
        "missed_windows",
        "Windows that were missed, as far as the history is known.",
        lambda s: len(s.missed.missed) if s.missed is not None else None,
    ),
    (
        "late_windows",
        "Windows without a point that can still be backed up.",
        lambda s: len(s.missed.catchable) if s.missed is not None else None,
    ),
    ("points", "Recovery points of the source.", lambda s: s.points if _is_read(s) else None),
    (
        "suspect_points",
        "Points that look emptied or shrunk, and that nobody accepted.",
        lambda s: len(s.suspect) if _is_read(s) else None,
    ),
    ("copies", "Repositories that have the newest sound point.", lambda s: _copies(s)),
    (
        "source_bytes",
        "The size of the source in the newest sound point.",
        lambda s: s.last.source_bytes if s.last else None,
    ),
)
REPOSITORIES: tuple[Gauge[RepositoryStatus], ...] = (
    ("repository_bad", "Whether somebody has to act for the repository.", lambda r: int(r.state.is_bad)),
    ("repository_points", "Recovery points in the repository.", lambda r: r.points),
    ("stored_bytes", "The bytes of all packs in the repository, counted once a day.", lambda r: r.stored),
    ("free_bytes", "The room of the disk that holds the repository.", lambda r: r.free),
    ("capacity_bytes", "The size of the disk that holds the repository.", lambda r: r.capacity),
    (
        "oldest_unread_byte_seconds",
        "The age of the byte that was not read again for longest.",
        lambda r: r.oldest_unread_s,
    ),
)
PLACES: tuple[Gauge[PlaceCoverage], ...] = (
    (
        "unprotected",
        "What is in no source, in a place of coverage in the plan.",
        lambda p: len(_gaps(p, CoverageGap.UNPROTECTED)) if _is_seen(p) else None,
    ),
    ("coverage_known", "Whether the place could be looked at.", lambda p: int(_is_seen(p))),
)


def families(status: PlanStatus, coverage: Coverage | None, plan: str) -> Iterator[GaugeFamily]:
    """All metrics of a plan. Each sample has the label `plan`, so that those of two plans can be told apart.
    `coverage` is None where the plan does not say where to look."""
    shared = {"plan": plan}
    seen = [MetricSample(shared, _at(status.at))]
    yield GaugeFamily(f"{PREFIX}status_timestamp_seconds", "When the state was looked at.", seen)
    sources = {each.source: each for each in status.sources}
    yield _states(
        "state", "source", {name: each.state for name, each in sources.items()}, SourceState, shared
    )
    yield from _gauges(SOURCES, "source", sources, shared)
    repositories = {each.repository: each for each in status.repositories}
    states = {name: each.state for name, each in repositories.items()}
    yield _states("repository_state", "repository", states, RepositoryState, shared)
    yield from _gauges(REPOSITORIES, "repository", repositories, shared)
    places = {each.place: each for each in coverage.places} if coverage else {}
    yield from _gauges(PLACES, "place", places, shared)


def _gauges(
    gauges: Iterable[Gauge[Of]], label: str, each: Mapping[str, Of], shared: Mapping[str, str]
) -> Iterator[GaugeFamily]:
    for name, text, measure in gauges:
        known = {subject: value for subject, of in each.items() if (value := measure(of)) is not None}
        samples = [MetricSample({**shared, label: subject}, value) for subject, value in known.items()]
        yield GaugeFamily(PREFIX + name, text, samples)


def _states(
    name: str,
    label: str,
    states: Mapping[str, SourceState | RepositoryState],
    words: Iterable[SourceState | RepositoryState],
    shared: Mapping[str, str],
) -> GaugeFamily:
    """A sample for each word: 1 for the state that the subject is in, and 0 for the others."""
    samples = [
        MetricSample({**shared, label: subject, "state": word.value}, int(word is state))
        for word in words
        for subject, state in states.items()
    ]
    return GaugeFamily(PREFIX + name, f"The state of the {label}: 1 for that which it is in.", samples)


def _at(value: datetime) -> float:
    return value.timestamp()


def _span(amount: timedelta | None) -> float | None:
    return amount.total_seconds() if amount is not None else None


def _is_read(status: SourceStatus) -> bool:
    """Whether its points could be listed: where they could not, their number is not 0."""
    return status.missed is not None or status.points > 0


def _copies(status: SourceStatus) -> int | None:
    if status.copies is not None:
        return len(status.copies.repositories)
    if status.last is not None:
        return 1
    return 0 if _is_read(status) else None


def _gaps(place: PlaceCoverage, gap: CoverageGap) -> list[str]:
    return [each.name for each in place.findings if each.gap is gap]


def _is_seen(place: PlaceCoverage) -> bool:
    return not _gaps(place, CoverageGap.NOT_LOOKED)
