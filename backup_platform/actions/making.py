"""Make a repository: a new one, encrypted if there are recipients, or an empty copy of another one."""

from __future__ import annotations

from collections.abc import Sequence

from backup_platform.domain.ports import Clock, Store
from backup_platform.errors import UsageError
from backup_platform.repository.format import RepositoryInfo
from backup_platform.repository.keys import Keys
from backup_platform.repository.repository import Repository, init_repository


def check_recipients(keys: Keys, recipients: Sequence[str], *, copy: bool) -> None:
    """Before anything is made. Raises UsageError."""
    if copy and recipients:
        raise UsageError(
            "A copy has the recipients of the repository that it is made of.",
            hint="Leave --recipient out. `backup-platform key add --repository NAME` adds one to a copy alone.",
        )
    if keys and not recipients and not copy:
        raise UsageError(
            "A key is named in the plan or the environment, and no recipient is given.",
            hint="Encrypted: `backup-platform init --recipient age1…` (`backup-platform key generate FILE` makes one). "
            "Otherwise name no key.",
        )


def make(
    store: Store, clock: Clock, keys: Keys, recipients: Sequence[str], origin: Repository | None
) -> RepositoryInfo:
    """Raises ConflictError when there is a repository, RepositoryError, UsageError."""
    if origin is not None:
        from backup_platform.repository.replicas import init_replica

        return init_replica(origin, store)
    if recipients:
        from backup_platform.actions.keys import init_encrypted

        return init_encrypted(store, keys, recipients, clock)
    return init_repository(store, clock)
