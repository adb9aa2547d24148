"""What a repository holds of a source, as the asset that shows it must know it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

import dagster as dg

from backup_platform.actions.checks.table import COPIES_IN_PLACE, OF_COPIES
from backup_platform.domain.checks import Check, KindCheck
from backup_platform.domain.model import RecoveryPoint
from backup_platform.domain.tables import counted
from backup_platform.domain.trust.latest import captures
from backup_platform.errors import BackupError
from backup_platform.orchestration import shown
from backup_platform.orchestration.metadata.points import Metadata, point_metadata
from backup_platform.orchestration.metadata.tables import tables_metadata
from backup_platform.orchestration.subjects import WatchedAsset
from backup_platform.orchestration.translator import BackupTranslator
from backup_platform.orchestration.view.answers import Answer
from backup_platform.orchestration.view.records import POINT
from backup_platform.repository.points.chains import effective_points

if TYPE_CHECKING:
    from backup_platform.actions.checks.recorded import RecordedChecks, Verdict
    from backup_platform.app import App

REPORTED = {"reported": shown.text("by the repository, without a run of this Dagster instance")}


@dataclass(frozen=True)
class Holdings:
    """Those of one source in the repository that the `answer` is of. `others` are the answers of the repositories that
    have copies of it, by name; one that did not answer is not among them.

    `points` are by window, of the windows that the asset has now.
    """

    translator: BackupTranslator
    subject: WatchedAsset
    answer: Answer
    others: Mapping[str, Answer] = field(default_factory=dict)

    @property
    def app(self) -> App:
        return self.answer.app

    @property
    def key(self) -> dg.AssetKey:
        return self.subject.key

    @property
    def is_copy(self) -> bool:
        return bool(self.subject.repository)

    @property
    def history(self) -> list[RecoveryPoint]:
        """Every point that can be read, also of windows that have a better one, in the order of the chain."""
        return self.answer.points.get(self.subject.source, [])

    @cached_property
    def windows(self) -> frozenset[str]:
        """Those that the asset has now: points of an earlier schedule have others."""
        return frozenset(self.translator.partitions(self.subject.source).get_partition_keys())

    @cached_property
    def points(self) -> dict[str, RecoveryPoint]:
        found = effective_points(captures(self.history))
        return {point.window.key: point for point in found if point.window.key in self.windows}

    @cached_property
    def by_id(self) -> dict[str, RecoveryPoint]:
        return {point.id: point for point in self.history}

    @property
    def digest(self) -> str:
        """What changes when anything changes that is known of it."""
        answers = [self.answer, *(self.others[name] for name in sorted(self.others))]
        return ",".join(each.digest(self.subject.source) for each in answers)

    @property
    def newest(self) -> RecoveryPoint | None:
        return max(self.points.values(), key=lambda point: point.window.start, default=None)

    def made_at(self, point: RecoveryPoint) -> datetime:
        """When the point came into this repository. No event has a time of the future."""
        stored = point.stored_at if self.is_copy else None
        return min(max(point.committed_at, stored or point.committed_at), self.answer.now)

    def metadata(self, point: RecoveryPoint) -> Metadata:
        """That of a materialisation; of the newest point of a database with its tables, which have to be read."""
        manifest = self.app.points.manifest_path(point)
        if self.is_copy:
            return {
                POINT: shown.text(point.id),
                "manifest": shown.path(manifest),
                "window": shown.text(point.window.key),
                "captured_at": dg.MetadataValue.timestamp(point.captured_at),
                **REPORTED,
            }
        told = point_metadata(point, created=True, manifest=manifest)
        return {**told, **REPORTED, **self._tables(point)}

    def _tables(self, point: RecoveryPoint) -> Metadata:
        if point is self.newest:
            with suppress(BackupError):  # then its checks say what is wrong
                tables = self.app.tables.of_point(point)
                return {} if tables is None else tables_metadata(list(tables.sizes()))
        amount = counted(point.facts)
        names = ("table_count", "rows")
        return {n: dg.MetadataValue.int(v) for n, v in zip(names, amount, strict=True)} if amount else {}

    # Checks

    @property
    def checks(self) -> list[Check]:
        """Those of the asset."""
        if self.is_copy:
            return [row.check for row in OF_COPIES]
        source = self.subject.source
        return [
            *self.app.proofs.checks_of(source),
            *([COPIES_IN_PLACE] if self.app.plan.copies_of(source) else []),
        ]

    def verdicts(self, point: RecoveryPoint) -> Iterator[Verdict]:
        """What is known of a point. A check without a verdict is not among them."""
        if self.is_copy:
            yield from self._recorded.of_copy(point)
            return
        own = [check for check in self.checks if isinstance(check, KindCheck)]
        yield from (each for each in self._recorded.of(point, own) if each.result.ran)
        yield from self._in_place(point)

    @cached_property
    def _recorded(self) -> RecordedChecks:
        from backup_platform.actions.checks.recorded import RecordedChecks

        answer, source = self.answer, self.subject.source
        repository, whole = self.app.repository, not self.is_copy
        return RecordedChecks(repository, source, self.history, answer.proofs, answer.now, whole)

    def _in_place(self, point: RecoveryPoint) -> Iterator[Verdict]:
        """No verdict while there is time left to copy it."""
        from backup_platform.actions.checks.recorded import Verdict

        if not self.app.plan.copies_of(self.subject.source):
            return
        held = {name: [point] if point.id in each.ids else [] for name, each in self.others.items()}
        forgotten = [name for name, each in self.others.items() if point.id in each.forgotten]
        holdings = {self.app.repository_name: [point], **held}
        found = self.app.copies.in_place(point, holdings, forgotten)
        if found.ran:
            yield Verdict(found, self.answer.now)
