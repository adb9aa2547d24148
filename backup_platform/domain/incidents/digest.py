"""One text of all that a channel has to get: bad news first, what has one cause told once, and never too long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from backup_platform.domain.incidents.message import Message
from backup_platform.domain.words import at_most, first_of, how_many, more, were

MOST_IN_FULL = 10  # groups; of the others the text has the titles
MOST_TITLES = 40
MOST_NAMES = 20
MOST_SAFE = 10  # sources of one message, of which it says what is safe
LONGEST_BODY = 8_000  # characters: a pager shows less, and a chat refuses more


@dataclass(frozen=True, slots=True)
class Parcel:
    """What to send: a title, a text, and whether all of it is over. `ids` are those of the messages in it."""

    title: str
    body: str
    over: bool
    ids: tuple[str, ...]


def digest(messages: Sequence[Message], dropped: int = 0) -> Parcel:
    """The messages as one; `dropped` older ones were too many to keep."""
    groups = sorted(_groups(messages), key=lambda group: group[0].over)
    left = sum(map(len, groups[1:])) + dropped
    title = _title(groups[0]) + (f" ({more(left)})" if left else "")
    whole = len(groups) == 1 and not dropped
    return Parcel(
        title,
        _body(groups[0]) if whole else _bodies(groups, dropped),
        not dropped and all(message.over for message in messages),
        tuple(message.id for message in messages),
    )


def _groups(messages: Sequence[Message]) -> list[list[Message]]:
    """Messages of one cause together, in the order of their first."""
    found: dict[tuple[str, str, str], list[Message]] = {}
    for message in messages:
        alone = message.id if not message.name or not message.cause else ""
        found.setdefault((message.occasion, f"{message.what}{alone}", message.cause), []).append(message)
    return list(found.values())


def _title(group: Sequence[Message]) -> str:
    """`shop: backup failed`, or for several `shop and 5 more: backup failed`."""
    names = f"{group[0].name} {more(len(group) - 1)}" if len(group) > 1 else group[0].name
    return group[0].title_of(names)


def _body(group: Sequence[Message]) -> str:
    ids = f"Alert {first_of([message.id for message in group], MOST_NAMES)}."
    if len(group) == 1:
        return f"{group[0].body}\n{ids}"
    names = first_of([message.name for message in group], MOST_NAMES)
    first = min(group, key=lambda message: message.at)
    course = f"The first: {first.name}. {first.where} {first.course}"
    return "\n".join(
        [
            f"{names}.",
            group[0].cause,
            course,
            *_safe(group),
            *([first.next_step] if first.next_step else []),
            ids,
        ]
    )


def _safe(group: Sequence[Message]) -> list[str]:
    """What is safe of each, in one line if it is the same."""
    told = {message.name: message.safe for message in group if message.safe}
    if len(set(told.values())) == 1 and len(told) == len(group):
        return [*told.values()][:1]
    return at_most([f"{name}: {safe}" for name, safe in told.items()], MOST_SAFE)


def _bodies(groups: Sequence[Sequence[Message]], dropped: int) -> str:
    shown: list[str] = []
    titles: list[str] = []
    for group in groups:
        part = f"{_title(group)}\n{_body(group)}"
        fits = len(shown) < MOST_IN_FULL and len(part) + sum(map(len, shown)) <= LONGEST_BODY
        (shown if fits and not titles else titles).append(part if fits and not titles else _title(group))
    rest = at_most(titles, MOST_TITLES)
    lost = [f"{how_many(dropped, 'older alert')} {were(dropped)} dropped."] if dropped else []
    return "\n\n".join([*shown, *(["\n".join(rest)] if rest else []), *lost])
