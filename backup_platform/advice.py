"""What to do next, as data: sentences, and between them commands whose words are known.

    hint="Mount the disk."
    hint=(command("repair", "--from", "NAME"), " puts it back from a copy.")
    hint=("Add one: ", command("key", "add", "age1…", repository="offsite"), ".")

Whoever shows it writes the commands out for the plan and the repository in use (`written`), or hands them on as words.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

PROGRAM: Final = "backup-platform"


@dataclass(frozen=True, slots=True)
class Command:
    """A command of this program, without its name. `repository` is the plan's name of the repository that it is for.
    None means the one that the advice is about. The reader replaces words in capitals and words with `…`."""

    words: tuple[str, ...]
    repository: str | None = None

    def arguments(self, plan: str | None = None, repository: str | None = None) -> tuple[str, ...]:
        """The command with the program's name, for a plan. `repository` is used if the command names none itself. None
        means the default."""
        named = self.repository or repository
        chosen = ("--repository", named) if named else ()
        return (PROGRAM, *(("--plan", plan) if plan else ()), *chosen, *self.words)


@dataclass(frozen=True, slots=True)
class Shell:
    """A command of another program, with its name."""

    words: tuple[str, ...]

    def arguments(self, plan: str | None = None, repository: str | None = None) -> tuple[str, ...]:
        return self.words


Piece: TypeAlias = str | Command | Shell
Advice: TypeAlias = tuple[Piece, ...]
Hint: TypeAlias = (
    Piece | Sequence[Piece]
)  # what is written where advice is given; texts have their own blanks


def command(*words: str, repository: str | None = None) -> Command:
    return Command(words, repository)


def shell(*words: str) -> Shell:
    return Shell(words)


def advice(hint: Hint) -> Advice:
    """The pieces of a hint, none of them empty."""
    pieces = (hint,) if isinstance(hint, str | Command | Shell) else hint
    return tuple(piece for piece in pieces if piece != "")


def joined(*hints: Hint) -> Advice:
    """Several hints, one after the other, with a blank between them."""
    found = [pieces for hint in hints if (pieces := advice(hint))]
    return sum((pieces if number == 0 else (" ", *pieces) for number, pieces in enumerate(found)), ())


def written(hint: Hint, plan: str | None = None, repository: str | None = None) -> str:
    """The advice as one text. Commands are in backticks and can be pasted into a shell."""
    return "".join(
        piece if isinstance(piece, str) else f"`{typed(piece.arguments(plan, repository))}`"
        for piece in advice(hint)
    )


def typed(words: Sequence[str]) -> str:
    """Words as they are typed into a shell. A word that holds `…` stays as it is, unless something else in it needs
    quotes."""
    return " ".join(word if _harmless(word) else shlex.quote(word) for word in words)


def _harmless(word: str) -> bool:
    plain = word.replace("…", "x")
    return shlex.quote(plain) == plain


def mapped(pieces: Advice, change: Callable[[str], str]) -> Advice:
    """The advice with every text and word in it changed."""
    return tuple(
        change(piece) if isinstance(piece, str) else replace(piece, words=tuple(map(change, piece.words)))
        for piece in pieces
    )
