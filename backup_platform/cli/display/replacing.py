"""A file that is written beside its place and put there when it is complete."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from backup_platform.errors import TargetError


@contextmanager
def replaced(path: str, mode: int | None = None) -> Iterator[BinaryIO]:
    """A draft that takes the place of `path` when the block ends well. It has the permissions `mode`; None: those of a
    new file. Raises TargetError."""
    draft = f"{path}.{secrets.token_hex(4)}.draft"
    try:
        with open(draft, "xb") as file:
            yield file
            file.flush()
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(draft, path)
    except OSError as error:
        raise TargetError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        with suppress(OSError):
            os.unlink(draft)
