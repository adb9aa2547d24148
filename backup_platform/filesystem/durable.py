"""What makes a new name in a directory last: without it a crash may lose the name of a file that was synced."""

from __future__ import annotations

import os


def sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
