"""Directories by what they are. Paths alone do not tell: links and mounts give a directory several names."""

from __future__ import annotations

import os
from collections.abc import Iterable

Identity = tuple[int, int]


def identities(paths: Iterable[str]) -> frozenset[Identity]:
    """The identities of the directories that exist."""
    return frozenset(found for path in paths if (found := _identity(path)))


def enclosing(path: str, directories: frozenset[Identity]) -> str:
    """The path of the directory, one of `directories`, that `path` is or is in; "" if there is none. The path need not
    exist."""
    place = os.path.realpath(path)
    while directories:
        if _identity(place) in directories:
            return place
        if place == (place := os.path.dirname(place)):
            break
    return ""


def _identity(path: str) -> Identity | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
