"""Whether a repository is there. "Unreachable", "empty place" and "another repository" are three different
incidents.

Only a repository that answered says whether points exist: an opened one may have been unmounted since.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from backup_platform.errors import (
    BackupError,
    RepositoryChangedError,
    RepositoryMissingError,
    about_repository,
)

if TYPE_CHECKING:
    from backup_platform.app import App
    from backup_platform.repository.objects.info import RepositoryInfo

AWAY, EMPTY, ANOTHER = "away", "empty", "another"
STATES = (AWAY, EMPTY, ANOTHER)


def answering(app: App) -> RepositoryInfo:
    """What the repository says of itself now. Raises RepositoryError, see `actions.points.windows.answering`."""
    from backup_platform.actions.points import windows

    with about_repository(app.repository_name):
        info = windows.answering(app.bound.opened.store, app.bound.location)
    app.bound.answered(info)
    return info


def changed(info: RepositoryInfo, known: str) -> RepositoryChangedError | None:
    """What is wrong with it when it is not the one with the id `known`."""
    from backup_platform.actions.points.windows import require_same

    try:
        require_same(info, known)
    except RepositoryChangedError as error:
        return error
    return None


def state_of(error: BackupError) -> str:
    """The state of the repository that an error shows."""
    if isinstance(error, RepositoryChangedError):
        return ANOTHER
    return EMPTY if isinstance(error, RepositoryMissingError) and error.empty else AWAY
