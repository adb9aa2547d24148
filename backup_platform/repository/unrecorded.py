"""A verdict that the store does not keep is a verdict all the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from backup_platform.errors import StoreError


class Result(Protocol):
    @property
    def unrecorded(self) -> Unrecorded: ...


R = TypeVar("R", bound=Result)


def recorded(result: R) -> R:
    """The result, for who goes by the ledger afterwards. Raises StoreError when not all of it is there."""
    if error := result.unrecorded.error:
        raise error
    return result


@dataclass(slots=True)
class Unrecorded:
    """Why something of what was found out is not in the ledger: the first reason."""

    error: StoreError | None = None

    @property
    def reason(self) -> str | None:
        return self.error.message if self.error else None

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Go on when the store refuses what is written inside: it is read-only, or its disk is full."""
        try:
            yield
        except StoreError as error:
            self.error = self.error or error
