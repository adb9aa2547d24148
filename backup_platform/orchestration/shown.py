"""Text of unknown origin (names, reasons, words of a server) in Dagster: in metadata, its Markdown and its logs.

Everything that is written to the event log goes through this module. Dagster's UI renders Markdown. Without this
module, a name that contains an image would make the viewer's browser request it from another server.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator, MutableMapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from backup_platform.advice import mapped
from backup_platform.domain.visible import visible, visible_lines
from backup_platform.errors import BackupError

if TYPE_CHECKING:
    from backup_platform.domain.model import Json

_MARKUP = re.compile(r"[\\`*_\[\]<>#|~!&]")
_LINKED = re.compile(
    r"\S*(?:://|@|\bwww\.)\S*", re.IGNORECASE
)  # GitHub's Markdown makes links of these by itself


def text(value: str) -> dg.MetadataValue:
    """A value as one line of plain text, without Markdown."""
    return dg.MetadataValue.text(visible(value))


def path(value: str) -> dg.MetadataValue:
    return dg.MetadataValue.path(visible(value))


def document(value: list[Json] | dict[str, Json]) -> dg.MetadataValue:
    """The value as JSON, which the UI shows as a tree."""
    return dg.MetadataValue.json(_document(value))


def _document(value: Any) -> Any:
    if isinstance(value, dict):
        return {visible(name): _document(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_document(inner) for inner in value]
    return visible(value) if isinstance(value, str) else value


def markdown(value: str) -> dg.MetadataValue:
    """Markdown from our own words, and from words of others that went through `prose`, `code` or `fenced`."""
    return dg.MetadataValue.md(value)


def prose(value: str) -> str:
    """Within a line of Markdown, also in a table: nothing in it is markup."""
    shown, words, end = visible(value), [], 0
    for found in _LINKED.finditer(shown):
        words += [_escaped(shown[end : found.start()]), code(found[0])]
        end = found.end()
    return "".join([*words, _escaped(shown[end:])])


def _escaped(value: str) -> str:
    return _MARKUP.sub(r"\\\g<0>", value)


def code(value: str) -> str:
    """A name within a line of Markdown, also in a table."""
    return f"`{visible(value).replace('`', chr(39)).replace('|', '¦')}`"


def fenced(value: str, language: str) -> str:
    """A block of lines that are shown unchanged."""
    longest = max(map(len, re.findall(r"`+", value)), default=0)
    fence = "`" * max(4, longest + 1)
    return "\n".join([fence + language, *map(visible, value.split("\n")), fence])


class Log(logging.LoggerAdapter[logging.Logger]):
    """A log of Dagster's: its lines go to its database, and to the terminal of the daemon."""

    def log(self, level: int, msg: object, *args: object, **options: Any) -> None:
        disarm(sys.exception() if options.get("exc_info") else None)
        super().log(level, "%s", visible_lines(str(msg) % args if args else str(msg)), **options)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        return msg, kwargs


def log_of(context: Any) -> Log:
    """The log of a run or of a sensor's tick."""
    return Log(context.log, {})


def disarm(error: BaseException | None) -> None:
    """Make the texts of an error and of its causes harmless: Dagster keeps them with the traceback."""
    for each in _chain(error):
        each.args = tuple(visible_lines(arg) if isinstance(arg, str) else arg for arg in each.args)
        if isinstance(each, BackupError):
            each.message, each.advice = visible_lines(each.message), mapped(each.advice, visible_lines)
        if isinstance(each, OSError):
            each.filename, each.strerror = _argument(each.filename), _argument(each.strerror)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _argument(value: Any) -> Any:
    return visible(value) if isinstance(value, str) else value
