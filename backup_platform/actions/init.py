"""Make a repository: a new one, encrypted if there are recipients, or an empty copy of another one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from backup_platform.advice import command
from backup_platform.domain.ports import Clock, OpenedStore, Store
from backup_platform.domain.words import how_many
from backup_platform.errors import (
    ConflictError,
    KeyMissingError,
    PlanError,
    RepositoryError,
    RepositoryMissingError,
    UsageError,
)
from backup_platform.repository.creating import init_repository, require_unused
from backup_platform.repository.encryption.key_files import Keys
from backup_platform.repository.objects.info import RepositoryInfo
from backup_platform.repository.repository import Repository

if TYPE_CHECKING:
    from backup_platform.plan import RepositoryConfig


def choose_recipients(
    keys: Keys, given: Sequence[str], planned: RepositoryConfig, *, copy: bool
) -> Sequence[str]:
    """The given recipients, or else those of the plan. Call it before anything is created. Raises UsageError."""
    if copy and given:
        raise UsageError(
            "A copy has the recipients of the repository that it is copied from.",
            hint=(
                "Leave --recipient out. ",
                command("key", "add", "age1…", repository="NAME"),
                " adds one to a copy alone.",
            ),
        )
    if copy:
        return ()
    if given and planned.recipients and set(given) != set(planned.recipients):
        raise UsageError(
            "The plan names other `recipients` than --recipient does, and contents are written to those of the plan.",
            hint="Leave --recipient out, or correct the plan.",
        )
    recipients = given or planned.recipients or ()
    if keys and not recipients:
        raise UsageError(
            "A key is named in the plan or the environment, and no recipient is given.",
            hint=(
                "Encrypted: ",
                command("init", "--recipient", "age1…"),
                " (",
                command("key", "generate", "FILE"),
                " makes one). Otherwise name no key.",
            ),
        )
    return recipients


class RepositoryPlace(Protocol):
    """Where a repository of the plan is, or should be. Both functions raise RepositoryMissingError if there is none."""

    @property
    def opened(self) -> OpenedStore: ...

    @property
    def repository(self) -> Repository: ...


def refuse_new_history(first: str, names: Iterable[str], at: Callable[[str], RepositoryPlace]) -> None:
    """Raises ConflictError if a copy of the first repository answers: then the first one must be created from the copy.
    A new, empty repository would begin another history, which fits no copy. The same is true if the first repository
    has only lost its `repository.json`."""
    others = [name for name in names if name != first]
    if not others or _points_held(at(first)) is not None:
        return  # that it is there already is told by who makes it
    with suppress(RepositoryMissingError):
        require_unused(at(first).opened.store)
    for name in others:
        if (held := _points_held(at(name))) is not None:
            raise ConflictError(
                f"The repository {name} of this plan would be a copy of the new repository, but {held}.",
                hint=(
                    command("init", "--from", name),
                    " makes it again from that copy. To begin a new history, name other places for the copies in the "
                    "plan.",
                ),
            )


def _points_held(place: RepositoryPlace) -> str | None:
    """How many points a repository holds. None if there is no repository, or if it is unknown."""
    try:
        count = len(place.repository.points.readable()[0])
    except KeyMissingError:
        return "it exists already and is encrypted"
    except (RepositoryError, PlanError):
        return None
    return f"it holds {how_many(count, 'recovery point')}"


def make(
    store: Store, clock: Clock, keys: Keys, recipients: Sequence[str], origin: Repository | None
) -> RepositoryInfo:
    """Raises ConflictError if there is a repository already, RepositoryError, UsageError."""
    if origin is not None:
        from backup_platform.repository.replicas import init_replica

        return init_replica(origin, store)
    if recipients:
        from backup_platform.actions.keys.run import init_encrypted

        return init_encrypted(store, keys, recipients, clock)
    return init_repository(store, clock)
