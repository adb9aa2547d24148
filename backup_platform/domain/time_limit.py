"""How long something may take."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

from backup_platform.errors import TimeLimitError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TimeLimit:
    """`seconds` from `began`, by a clock that is never set; `math.inf` for ever."""

    seconds: float = math.inf
    began: float = field(default_factory=time.monotonic)
    monotonic: Callable[[], float] = time.monotonic

    @property
    def left(self) -> float:
        """Seconds, never negative."""
        return max(0.0, self.began + self.seconds - self.monotonic())

    @property
    def passed(self) -> bool:
        return self.left == 0

    def check(self) -> None:
        """Raises TimeLimitError once it has passed."""
        if self.passed:
            raise TimeLimitError(
                f"It was ended after {timedelta(seconds=round(self.seconds))}, its time limit."
            )

    def during(self, items: Iterable[T]) -> Iterator[T]:
        """The same items, one after the other. Raises TimeLimitError when the time is over."""
        for item in items:
            self.check()
            yield item
