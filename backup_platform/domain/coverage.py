"""What a plan does not protect: what was found where it says to look, and is neither in a source nor an exception."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from itertools import chain, count

from backup_platform.advice import Advice
from backup_platform.domain.model import Json
from backup_platform.domain.words import first_of


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Something that a place holds. `name` is unique in the place, and is what exceptions are compared with. `what`
    says what it is, as in `database`.

    `sources` are those of the plan that protect it. `settings` are the keys of a source that would, none where a source
    has to be changed. `note` is what else is known: why it is left out, or what may protect it. `reason` says why it
    needs no backup, if whoever made it has told.
    """

    name: str
    what: str
    sources: tuple[str, ...] = ()
    settings: Mapping[str, Json] = field(default_factory=dict)
    note: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What was found in a place. `title` names the place for people, `lack` says what is wrong with a neighbour that no
    source protects."""

    title: str
    neighbours: Sequence[Neighbour]
    lack: str = "is in no source"


class CoverageGap(StrEnum):
    UNPROTECTED = "unprotected"
    NEEDLESS = "needless_exception"
    NOT_LOOKED = "not_looked_at"


@dataclass(frozen=True, slots=True)
class CoverageFinding:
    """What a person has to decide or repair.

    `place` is the name of the place in the plan's `coverage`, `name` what was found there, or the exception. `since` is
    when it was first found. `settings` are the keys of a source that would protect it, and `source` is a name for that.
    `advice` says what to do where lines of the plan are not enough.
    """

    gap: CoverageGap
    place: str
    name: str
    text: str
    since: datetime | None = None
    settings: Mapping[str, Json] = field(default_factory=dict)
    source: str = ""
    advice: Advice = ()

    @property
    def is_warning(self) -> bool:
        """Whether nothing lacks protection for it."""
        return self.gap is CoverageGap.NEEDLESS

    @property
    def message(self) -> str:
        return f"{self.text}, first seen on {self.since:%Y-%m-%d}" if self.since else self.text

    @property
    def as_source(self) -> str:
        """The lines of a plan that protect it; "" where there are none."""
        if not self.settings:
            return ""
        return f"sources:\n  {_scalar(self.source)}: {_flow({**self.settings, 'every': 'day'})}"

    @property
    def as_exception(self) -> str:
        """The lines of a plan that leave it out on purpose; "" where there are none."""
        if self.gap is not CoverageGap.UNPROTECTED:
            return ""
        return f"coverage:\n  {self.place}:\n    except:\n      {_scalar(pattern_of(self.name))}: REASON"


@dataclass(frozen=True, slots=True)
class LeftOutOnPurpose:
    """What an exception of the plan leaves out, and why."""

    name: str
    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class PlaceCoverage:
    """One place that was looked at. `seen` counts what is there, `protected` what of it is in a source."""

    place: str
    title: str
    seen: int = 0
    protected: int = 0
    left_out: tuple[LeftOutOnPurpose, ...] = ()
    findings: tuple[CoverageFinding, ...] = ()

    @property
    def gaps(self) -> tuple[CoverageFinding, ...]:
        """The findings that are no warnings."""
        return tuple(each for each in self.findings if not each.is_warning)


@dataclass(frozen=True, slots=True)
class Coverage:
    """All places of a plan, in its order, as they were `at` that time. `elsewhere` are those that only Dagster can look
    at."""

    places: tuple[PlaceCoverage, ...]
    at: datetime
    elsewhere: tuple[str, ...] = ()

    @property
    def findings(self) -> tuple[CoverageFinding, ...]:
        return tuple(each for place in self.places for each in place.findings)

    @property
    def gaps(self) -> tuple[CoverageFinding, ...]:
        """What keeps it from being fine."""
        return tuple(each for place in self.places for each in place.gaps)

    @property
    def is_known(self) -> bool:
        """Whether every place could be looked at."""
        return all(each.gap is not CoverageGap.NOT_LOOKED for each in self.findings)

    @property
    def is_fine(self) -> bool:
        return not self.gaps


@dataclass(frozen=True, slots=True)
class JudgedPlace:
    """A place of the plan, as it is judged: its name, its exceptions with their reasons, since when names are known to
    lack protection, and a name for a new source of something. `backed_up_by` has the sources of what shows none."""

    name: str
    exceptions: Mapping[str, str]
    first_seen: Callable[[Sequence[str]], Mapping[str, datetime]]
    source_for: Callable[[str], str]
    backed_up_by: Mapping[str, str] = field(default_factory=dict)


def judge(place: JudgedPlace, found: Surroundings) -> PlaceCoverage:
    """What of a place is neither protected nor left out on purpose."""
    unseen = [each.name for each in found.neighbours if not each.sources]
    found = replace(found, neighbours=[_told(each, place.backed_up_by) for each in found.neighbours])
    bare = [each for each in found.neighbours if not each.sources]
    reasons = {each.name: _reason(each, place.exceptions) for each in bare}
    lacking = [each for each in bare if reasons[each.name] is None]
    since = place.first_seen([each.name for each in lacking])
    return PlaceCoverage(
        place.name,
        found.title,
        seen=len(found.neighbours),
        protected=len(found.neighbours) - len(bare),
        left_out=tuple(
            LeftOutOnPurpose(each.name, each.what, reason)
            for each in bare
            if (reason := reasons[each.name]) is not None
        ),
        findings=(
            *(_unprotected(place, found, each, since.get(each.name)) for each in lacking),
            *_needless(place, found, place.exceptions, [each.name for each in bare]),
            *_needless(place, found, place.backed_up_by, unseen),
        ),
    )


def not_looked(place: str, why: str, advice: Advice) -> PlaceCoverage:
    """A place that could not be looked at: nobody knows what it holds."""
    finding = CoverageFinding(CoverageGap.NOT_LOOKED, place, place, why, advice=advice)
    return PlaceCoverage(place, place, findings=(finding,))


def _unprotected(
    place: JudgedPlace, found: Surroundings, each: Neighbour, since: datetime | None
) -> CoverageFinding:
    text = f"{each.what} {each.name!r} of {found.title} {found.lack}"
    text += f" ({each.note})" if each.note else ""
    source = place.source_for(each.name) if each.settings else ""
    return CoverageFinding(CoverageGap.UNPROTECTED, place.name, each.name, text, since, each.settings, source)


def _told(each: Neighbour, backed_up_by: Mapping[str, str]) -> Neighbour:
    """With the source that the plan names for it."""
    told = (source for pattern, source in backed_up_by.items() if matching(pattern, [each.name]))
    source = None if each.sources else next(told, None)
    return replace(each, sources=(source,)) if source else each


def _needless(
    place: JudgedPlace, found: Surroundings, patterns: Iterable[str], bare: Sequence[str]
) -> Iterator[CoverageFinding]:
    """Exceptions that leave nothing out: what they were for is gone, or is in a source."""
    protected = [each.name for each in found.neighbours if each.sources]
    for pattern in patterns:
        if matching(pattern, bare):
            continue
        covered = matching(pattern, protected)
        why = f"{first_of(covered, 3)} is in a source" if covered else "nothing there has such a name"
        text = f"the exception {pattern!r} of {found.title} leaves nothing out: {why}"
        advice = ("Take it out of the plan.",)
        yield CoverageFinding(CoverageGap.NEEDLESS, place.name, pattern, text, advice=advice)


def _reason(each: Neighbour, exceptions: Mapping[str, str]) -> str | None:
    given = (why for pattern, why in exceptions.items() if matching(pattern, [each.name]))
    return next(given, each.reason or None)


def matching(pattern: str, names: Sequence[str]) -> list[str]:
    """The names that are the pattern, or that it stands for: `*` is any characters, `?` one."""
    parts = ({"*": ".*", "?": "."}.get(char) or re.escape(char) for char in pattern)
    compiled = re.compile("".join(parts), re.DOTALL)
    return [name for name in names if name == pattern or compiled.fullmatch(name)]


def pattern_of(name: str) -> str:
    """An exception for a name, also for a file's that is no text."""
    return "".join("?" if "\ud800" <= char <= "\udfff" else char for char in name)


class NewSourceNames:
    """Names for new sources: none that the plan has, and none twice."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)

    def of(self, name: str) -> str:
        """A name for a source of something with that name."""
        plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:60] or "new"
        numbered = (f"{plain}_{number}" for number in count(2))
        chosen = next(each for each in chain([plain], numbered) if each not in self._taken)
        self._taken.add(chosen)
        return chosen


_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./+-]*")
_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}


def _scalar(text: str) -> str:
    """A text as YAML, in quotes where it could be read as something else."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    return char if char.isprintable() else f"\\U{ord(char):08x}"


def _flow(value: Json | Mapping[str, Json]) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_scalar(key)}: {_flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, str):
        return _scalar(value)
    return str(value).lower()
