"""What is wrong with one thing, as whoever observes it says it."""

from __future__ import annotations

from dataclasses import dataclass

from backup_platform.domain.visible import visible, visible_lines

LONGEST_NAME = 200  # characters of a name and of what failed
LONGEST_CAUSE = 2000


@dataclass(frozen=True, slots=True)
class Trouble:
    """`name` is what people call the thing (`shop`, `shop in offsite`), `what` what failed (`backup failed`), `cause`
    why, and what to do. `where` is true of this thing alone (its window, its run): problems of the same cause
    are told together. A problem with another `aspect` is told although its incident is known. Texts are bounded, and
    characters that do not print are escaped.
    """

    name: str
    what: str
    cause: str = ""
    where: str = ""
    aspect: str = ""
    warning: bool = False

    def __post_init__(self) -> None:
        for part, most in (("name", LONGEST_NAME), ("what", LONGEST_NAME), ("aspect", LONGEST_NAME)):
            object.__setattr__(self, part, _bounded(visible(getattr(self, part)), most))
        for part in ("cause", "where"):
            object.__setattr__(self, part, _bounded(visible_lines(getattr(self, part)), LONGEST_CAUSE))

    @property
    def title(self) -> str:
        return f"{self.name}: {self.what}" if self.name else self.what


def _bounded(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
