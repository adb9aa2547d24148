"""Standard output: text for people, or one JSON document. Errors and progress never come here."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TextIO

from backup_platform.advice import Piece, typed, written
from backup_platform.domain.model import Json
from backup_platform.domain.ports import Buffer
from backup_platform.domain.visible import visible
from backup_platform.errors import BackupError

_STYLES = {"good": "32", "warn": "33", "bad": "1;31", "dim": "2", "bold": "1", "": ""}


class OutputClosedError(OSError):
    """The output cannot be written any more: its reader has ended (`| head`), or the disk is full."""


def colours(stream: TextIO) -> bool:
    """Whether the stream is a terminal that shows colours, and the user did not refuse them (NO_COLOR)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM", "dumb") in ("dumb", "unknown"):
        return False
    return stream.isatty()


def error_object(
    error: BackupError, plan: str | None = None, repository: str | None = None
) -> dict[str, Json]:
    """The documented shape of an error. Commands are for that plan and repository, None for the defaults."""
    return {
        "code": error.code,
        "message": error.message,
        "hint": written(error.advice, plan, repository),
        "advice": [piece_shape(piece, plan, repository) for piece in error.advice],
        "subject": error.subject or None,
        "repository": error.repository or None,
        "said": error.said or None,
        "exit_code": error.exit_code,
        "retryable": error.retryable,
    }


def piece_shape(piece: Piece, plan: str | None, repository: str | None) -> Json:
    """A piece of advice: its text, and the words of a command as they can be run."""
    if isinstance(piece, str):
        return {"text": piece}
    words = piece.arguments(plan, repository)
    return {"text": typed(words), "command": [*words]}


def _json(value: Json | Mapping[str, Json], indent: int | None = None) -> str:
    """In ASCII that prints: DEL is the one character that JSON lets stand."""
    return json.dumps(value, indent=indent).replace("\x7f", "\\u007f")


class Output:
    """Writes to one stream. With `json` only the one document is written, and text is not. `shape` makes the object of
    an error, for rows that break off. Of the `notes` those that hold something by then are added to the document.

    Once the stream takes nothing more, `needed` raises OutputClosedError: of a listing nothing else is wanted. Without
    it the work goes on in silence, and `failure` says why.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        json: bool,
        needed: bool = True,
        shape: Callable[[BackupError], dict[str, Json]] = error_object,
        notes: Mapping[str, Sequence[Json]] | None = None,
    ) -> None:
        self.json, self.needed, self._shape, self._notes = json, needed, shape, notes or {}
        self.failure: OSError | None = None
        self.written = False  # a document was begun: no second one may follow
        self._stream = stream
        self.terminal = stream.isatty()
        self.colour = not json and colours(stream)
        self._mark = f"\0{os.urandom(8).hex()}\0"  # of our own styles: no text from elsewhere can have it

    def line(self, text: str = "") -> None:
        """One line. What does not print in it is shown as its escape, a line's end too."""
        if not self.json:
            self._write(self._styled(text) + "\n")

    def clear(self) -> None:
        """An empty screen, where output is a terminal."""
        if self.terminal and not self.json:
            self._write("\x1b[2J\x1b[H")

    def paint(self, text: str, style: str) -> str:
        """The text in a style (good, warn, bad, dim, bold), plain where colours are not shown. For `line`."""
        code = _STYLES[style]
        return f"{self._mark}{code}m{text}{self._mark}0m" if self.colour and code else text

    def _styled(self, text: str) -> str:
        plain, *styled = text.split(self._mark)
        parts = (part.partition("m") for part in styled)
        return visible(plain) + "".join(f"\x1b[{code}m{visible(rest)}" for code, _, rest in parts)

    def document(self, value: Mapping[str, Json]) -> None:
        if self.json:
            self.written = True
            self._write(_json(self._with_notes(value), indent=2) + "\n")

    def _with_notes(self, value: Mapping[str, Json]) -> dict[str, Json]:
        return {**value, **{name: [*notes] for name, notes in self._notes.items() if notes}}

    def rows(self, head: Mapping[str, Json], name: str, rows: Iterable[Mapping[str, Json]]) -> None:
        """One document `{**head, name: [rows]}` in constant memory, a row a line.

        When the rows fail half-way the array is closed and `error` added, so that what was printed still
        parses and says that it is not all; the error is raised again.
        """
        self.written = True
        head = self._with_notes(head)
        opening = _json(head, indent=2)[:-1].rstrip()
        self._write(f"{opening}{',' if head else ''}\n  {_json(name)}: [")
        try:
            self._row_lines(rows)
        except BackupError as error:
            self._write(f'\n  ],\n  "error": {_json(self._shape(error))}\n}}\n')
            raise
        self._write("\n  ]\n}\n")

    def _row_lines(self, rows: Iterable[Mapping[str, Json]]) -> None:
        separator = "\n    "
        for row in rows:
            self._write(separator + _json(row))
            separator = ",\n    "

    def raw(self, data: Buffer) -> int:
        """Write bytes as they are, whatever the encoding; to a terminal as text that cannot act on it. Their number."""
        if self.terminal:
            lines = bytes(data).decode("utf-8", "surrogateescape").split("\n")
            self._write("\n".join(visible(line.removesuffix("\r")) for line in lines))
            return len(data)
        self.flush()
        self._attempt(lambda: self._stream.buffer.write(data))
        return len(data)

    def flush(self) -> None:
        self._attempt(self._stream.flush)

    def _write(self, text: str) -> None:
        self._attempt(lambda: self._stream.write(text))

    def _attempt(self, call: Callable[[], object]) -> None:
        if self.failure is not None:
            return
        try:
            call()
        except OSError as error:
            self.failure = error
            if self.needed:
                raise OutputClosedError(error.errno, error.strerror) from error
