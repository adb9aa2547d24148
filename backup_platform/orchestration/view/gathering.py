"""From a plan and what its repositories answer to what has to be compared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from backup_platform.orchestration import subjects
from backup_platform.orchestration.schedules import tick_groups
from backup_platform.orchestration.subjects import WatchedAsset
from backup_platform.orchestration.translator import BackupTranslator
from backup_platform.orchestration.view.answers import Answer
from backup_platform.orchestration.view.holdings import Holdings


def shown_assets(translator: BackupTranslator) -> list[WatchedAsset]:
    """The assets of the plan that have windows: backups, then copies."""
    groups = tick_groups(translator)
    return [
        *(
            each
            for group in groups
            for each in subjects.backups(translator, group.sources, translator.name(f"backup_{group.name}"))
        ),
        *(
            each
            for group in groups
            for each in subjects.copies(translator, group.sources, translator.name(f"copy_{group.name}"))
        ),
    ]


def holdings(
    translator: BackupTranslator, assets: Iterable[WatchedAsset], answers: Mapping[str, Answer]
) -> Iterator[Holdings]:
    """Of each asset whose repository answered, by name."""
    first = next(iter(translator.app.plan.repositories))
    for subject in assets:
        answer = answers.get(subject.repository or first)
        copies = translator.app.plan.copies_of(subject.source)
        others = {name: answers[name] for name in copies if name in answers}
        if answer is not None:
            yield Holdings(translator, subject, answer, {} if subject.repository else others)
