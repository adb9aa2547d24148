"""What a restore could not do, counted, and listed up to a limit."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from backup_platform.filesystem.paths import printable

LISTED = 100


@dataclass(slots=True)
class Warnings:
    """Safe to use from several threads."""

    count: int = 0
    listed: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, path: bytes, text: str) -> None:
        with self._lock:
            self.count += 1
            if len(self.listed) < LISTED:
                self.listed.append(f"{printable(path)}: {text}")
