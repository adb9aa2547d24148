"""Notes of this host about what it read of a repository: one document for each source, in the state directory.

With them, data that cannot have changed is not read again. They may be deleted at any time. They are not evidence. No
other holder of the repository key can write them. An object that a listing lacks does not exist, whatever the notes
say.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import Any

from backup_platform.domain.model import Json
from backup_platform.repository.objects.names import digest


class Notes:
    """`directory` None: nothing is kept beyond this process."""

    def __init__(self, directory: str | None = None) -> None:
        self._directory = directory
        self._kept: dict[str, str] = {}

    def read(self, source: str) -> Any:
        """What was noted, from JSON; None where nothing was, or where it cannot be read."""
        try:
            return json.loads(self._text(source))
        except (OSError, ValueError, RecursionError):
            return None

    def write(self, source: str, document: Json) -> None:
        """Best effort: notes that cannot be kept cost time, and nothing else."""
        text = json.dumps(document, separators=(",", ":"))
        if self._directory is None:
            self._kept[source] = text
            return
        path = self._path(self._directory, source)
        draft = f"{path}#{os.getpid()}"
        with suppress(OSError):
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            with open(draft, "w", encoding="ascii", opener=_private) as file:
                file.write(text)
            os.replace(draft, path)

    def _text(self, source: str) -> str:
        if self._directory is None:
            return self._kept.get(source, "null")
        with open(self._path(self._directory, source), encoding="ascii") as file:
            return file.read()

    def _path(self, directory: str, source: str) -> str:
        return os.path.join(directory, digest(source.encode()).hex()[:32])


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
