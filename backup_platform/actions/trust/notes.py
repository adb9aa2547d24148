"""Reading what this host remembers in its state directory."""

from __future__ import annotations

import os

from backup_platform.errors import RepositoryError


def read_note(path: str) -> bytes | None:
    """What a note holds. None if there is none. Raises RepositoryError if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RepositoryError(
            f"What this host remembers of the repository cannot be read from {path}: {error.strerror}. So it cannot "
            "be compared with what is in the repository now.",
            subject=path,
            hint=f"Give {os.path.dirname(os.path.dirname(path))} and all that it holds to the user who runs backups, "
            "with chown and chmod. Or name another directory as `state` of the plan: then this host remembers "
            "nothing yet, so compare the fingerprint with the recovery sheet first.",
        ) from error
