"""One message about one incident."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b

ID_BYTES = 4


class Occasion(StrEnum):
    OPENED = "opened"
    CHANGED = "changed"
    AGAIN = "again"
    REMINDER = "reminder"
    RESOLVED = "resolved"
    LEFT = "left"


ENDS = frozenset({Occasion.RESOLVED, Occasion.LEFT})
_BEFORE = {
    Occasion.CHANGED: "Also: ",
    Occasion.AGAIN: "Again: ",
    Occasion.REMINDER: "Still failing: ",
    Occasion.RESOLVED: "Resolved: ",
    Occasion.LEFT: "Left the plan: ",
}


@dataclass(frozen=True, slots=True)
class Message:
    """What to tell people of the incident `key`, at `at`. Messages of one `occasion`, `what` and `cause` are told
    together. `id` is the same when a message is sent a second time.
    """

    key: str
    occasion: Occasion
    at: datetime
    name: str
    what: str
    cause: str
    where: str
    course: str  # since when, how often
    warning: bool = False
    safe: str = ""  # what of the source can still be restored
    next_step: str = ""  # what to do next

    @property
    def over(self) -> bool:
        """Whether it tells that something has ended, and nobody has to act."""
        return self.occasion in ENDS

    @property
    def title(self) -> str:
        return self.title_of(self.name)

    def title_of(self, name: str) -> str:
        """The title, with `name` for the names of several things."""
        return _BEFORE.get(self.occasion, "") + (f"{name}: {self.what}" if name else self.what)

    @property
    def body(self) -> str:
        """Why, where, since when, what is safe, and what to do next."""
        detail = " ".join(part for part in (self.cause, self.where) if part)
        return "\n".join(part for part in (detail, self.course, self.safe, self.next_step) if part)

    @property
    def id(self) -> str:
        text = f"{self.key}\n{self.occasion}\n{self.at.isoformat()}"
        return blake2b(text.encode(errors="surrogatepass"), digest_size=ID_BYTES).hexdigest()
