"""Since when something is known to lack protection: a note of this host, which may be lost."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime


class FirstSeen:
    """The note of one plan, below its directory of state. What left it is seen for the first time when it comes back. A
    time in the future is that of a clock that was wrong: it counts as now.
    """

    def __init__(self, state: str, plan_path: str, now: datetime) -> None:
        name = hashlib.sha256(plan_path.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        self._path, self._now = os.path.join(state, "coverage", f"{name}.json"), now
        self._before, self._after = _read(self._path), dict[str, dict[str, str]]()

    def of_place(self, place: str) -> Callable[[Sequence[str]], Mapping[str, datetime]]:
        """Since when the names of a place are known. What is not among them any more is forgotten."""

        def since(names: Sequence[str]) -> Mapping[str, datetime]:
            known = self._before.get(place, {})
            found = {name: min(_moment(known.get(name)) or self._now, self._now) for name in names}
            self._after[place] = {name: at.isoformat() for name, at in found.items()}
            return found

        return since

    def keep(self, places: Sequence[str]) -> None:
        """Write the note, with what was known of those `places` that could not be looked at. It may fail."""
        after = {
            place: self._after.get(place, self._before.get(place, {}))
            for place in places
            if place in self._after or place in self._before
        }
        if after == self._before:
            return
        with suppress(OSError):
            os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
            with open(f"{self._path}.{os.getpid()}", "w", encoding="ascii") as file:
                json.dump(after, file)
            os.replace(f"{self._path}.{os.getpid()}", self._path)


def _read(path: str) -> dict[str, dict[str, str]]:
    with suppress(OSError, ValueError), open(path, encoding="ascii") as file:
        found = json.load(file)
        if isinstance(found, dict):
            return {str(place): names for place, names in found.items() if isinstance(names, dict)}
    return {}


def _moment(text: object) -> datetime | None:
    with suppress(ValueError):
        found = datetime.fromisoformat(text) if isinstance(text, str) else None
        return found if found is not None and found.tzinfo is not None else None
    return None
