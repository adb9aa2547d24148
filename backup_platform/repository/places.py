"""Places in the chains of sources: which names are those of manifests, and which place is the next (FORMAT.md §7)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from backup_platform.domain.limits import MAX_SEQUENCE
from backup_platform.domain.model import RecoveryPoint
from backup_platform.errors import RepositoryError
from backup_platform.repository.format import MANIFESTS

if TYPE_CHECKING:
    from backup_platform.repository.repository import Repository

KEY = re.compile(rf"{MANIFESTS}[0-9a-f]{{32}}/(?!0{{10}})[0-9]{{10}}")
REACH = 10_000  # places behind the highest known one in which an unreadable manifest counts
REACH_OF_NONE = 1_000_000  # where nothing is known of the chain


def is_manifest(key: str) -> bool:
    """Anybody who may write can give an object another name. Such an object is no manifest."""
    return KEY.fullmatch(key) is not None


def strange_names(repository: Repository) -> tuple[str, ...]:
    """Keys of objects that lie among the manifests and are none."""
    return tuple(sorted(o.key for o in repository.store.list(MANIFESTS) if not is_manifest(o.key)))


def place_of(key: str) -> int:
    return int(key[-10:])


def next_place(repository: Repository, source: str) -> int:
    """Behind the highest manifest that can be read, and behind those that cannot within reach: each of them may be a
    point that comes back. One further up is none that a backup wrote, and must not use up the places."""
    from backup_platform.repository.forgotten import forgotten_places

    stored = repository.stored_manifests(source)
    highest = max(stored, key=place_of, default="")
    if highest and repository.is_readable(highest, stored[highest]):
        return place_of(highest) + 1
    points, _ = repository.readable_manifests(source)
    taken = {place_of(key) for key in stored}
    known = max((point.sequence for point in points), default=0)
    if max(taken, default=0) > known:
        known = max([known, *(place.sequence for place in forgotten_places(repository, source))])
    reach = known + (REACH if known else REACH_OF_NONE)
    following = max((place for place in taken if place <= reach), default=0) + 1
    while following in taken:
        following += 1
    return following


def require_place(point: RecoveryPoint, key: str) -> None:
    """Before anything is written: what has a higher place could not be read back. Raises RepositoryError."""
    if point.sequence > MAX_SEQUENCE:
        highest = f"{key.rpartition('/')[0]}/{MAX_SEQUENCE}"
        raise RepositoryError(
            f"There is no place left for a recovery point of {point.source}: {highest} is the last, and is taken.",
            hint=f"No backup gets there by counting. Find out who wrote {highest}, and delete that object with the "
            "tools of the store: the next backup goes on behind the point before it.",
        )
