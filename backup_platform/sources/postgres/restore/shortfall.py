"""What a restore could not bring back: each thing once, with the server's words, and what failed because of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from backup_platform.advice import Hint, command, shell
from backup_platform.domain.restoring import RestoreFailure
from backup_platform.domain.words import how_many
from backup_platform.errors import TargetError
from backup_platform.sources.postgres.dump.pg_restore import LOST, ToolError, is_of_owner
from backup_platform.sources.postgres.dump.toc import TocEntry
from backup_platform.sources.postgres.failures import no_room
from backup_platform.sources.postgres.restore.selection import RELATIONS

_WORDS = 300
_BROKEN = "violates foreign key constraint"
_NAMED = 20


@dataclass
class Shortfall:
    """`absent` are entries that the target has not. `stop`: the first failure is raised as a `TargetError`."""

    toc: Sequence[TocEntry]
    stop: bool = False
    absent: set[int] = field(default_factory=set)
    _found: list[tuple[RestoreFailure, int]] = field(default_factory=list)

    def add(self, what: str, said: str, *, entry: int = 0, because: str = "") -> None:
        """`entry` is one that does not exist in the target now."""
        if self.stop:
            text = f"{_sentence(what)} was not restored: {_short(said)}."
            raise TargetError(text, subject=what, said=said, full=no_room(said))
        if entry:
            self.absent.add(entry)
        self._found.append((RestoreFailure(what, _short(said), because, self._line(entry)), entry))

    def definitions(self, errors: Iterable[ToolError]) -> None:
        """The first error of each entry: if an entry is not created, all later statements about it fail as well. Raises
        TargetError if the server was lost, because nothing is known about the entries after that."""
        seen: set[int] = set()
        for error in errors:
            if any(phrase in error.text for phrase in LOST):
                raise TargetError(
                    f"The server was lost: {_short(error.said)}.", said=error.said, retryable=True
                )
            if error.entry in seen:
                continue
            label = self.label(error.entry) or "the session"
            if word := self._only(error):
                self.add(f"{word} of {label}", error.said)
            else:
                self.add(label, error.said, entry=error.entry)
                seen |= {error.entry} - {0}

    def _only(self, error: ToolError) -> str:
        """What is missing of something that is there; "" when the thing itself is not."""
        if is_of_owner(error.command):
            return "owner"
        kind = next((each.kind for each in self.toc if each.id == error.entry), "")
        made = error.command.startswith("CREATE ") or kind not in RELATIONS
        return "" if made and error.entry else "a property"

    def label(self, entry: int) -> str:
        return next((each.label for each in self.toc if each.id == entry), "")

    def told(self) -> tuple[RestoreFailure, ...]:
        """What failed by itself first, then what needs it."""
        found = [self._explained(failure, entry) for failure, entry in self._found]
        return tuple(sorted(found, key=lambda failure: bool(failure.because)))

    def _explained(self, failure: RestoreFailure, entry: int) -> RestoreFailure:
        cause = next(self._causes(entry), "") if entry else ""
        return RestoreFailure(failure.what, failure.said, failure.because or cause, failure.entry)

    def _causes(self, entry: int) -> Iterator[str]:
        """The absent entries that this one needs, nearest first."""
        needs = {each.id: each.needs for each in self.toc}
        pending, seen = list(needs.get(entry, ())), {entry}
        while pending:
            each = pending.pop(0)
            if each in seen:
                continue
            seen.add(each)
            if each in self.absent:
                yield self.label(each)
            pending += needs.get(each, ())

    def _line(self, entry: int) -> str:
        found = next((each for each in self.toc if each.id == entry), None)
        return f"{found.id}; {found.kind} {found.schema or '-'} {found.tag} {found.owner}" if found else ""


def advice(
    point: str, failures: Sequence[RestoreFailure], lacking: Sequence[str], pg_restore: str
) -> Iterator[Hint]:
    """What to do about it, in sentences. `pg_restore` is the program that reads the archive."""
    if not failures:
        return
    yield "Everything else is restored: nothing needs to be dropped or restored again."
    if any(failure.entry for failure in failures):
        yield (
            "Correct the definitions and run them by hand. They are in the recovery point: ",
            command("restore", point, "schema.dump", "--to", "DIR"),
            ", then ",
            shell(pg_restore, "-f", "DIR/schema.sql", "DIR/schema.dump"),
            ".",
        )
    yield from _about_keys([failure for failure in failures if _BROKEN in failure.said], lacking)
    if lacking:
        tables = [word for label in lacking[:_NAMED] for word in ("--table", label)]
        left = len(lacking) - _NAMED
        others = f" ({how_many(left, 'other table lacks', 'other tables lack')} rows.)" if left > 0 else ""
        yield (
            "When a table exists, is empty and accepts the rows, load them: ",
            command("restore", point, "--into", "URL", "--data-only", *tables),
            f".{others}",
        )


def _about_keys(broken: Sequence[RestoreFailure], lacking: Sequence[str]) -> Iterator[str]:
    """A key that is not made stands in the archive; one that refuses rows is in the target."""
    if any(failure.entry for failure in broken):
        if lacking:
            yield (
                "Foreign keys were tried without the rows that are not restored. Load those first, then make the keys; "
                "one that still fails is broken by the captured rows."
            )
        yield "Where the captured rows break a foreign key, correct the rows, or add the key with NOT VALID."
    if any(not failure.entry for failure in broken):
        yield (
            "A foreign key of the target refuses rows. A superuser loads rows without that check; as another role, "
            "drop the key, load the rows, and add the key again."
        )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _short(said: str) -> str:
    text = " ".join(said.split()).rstrip(".")
    return text if len(text) <= _WORDS else f"{text[:_WORDS]}…"
