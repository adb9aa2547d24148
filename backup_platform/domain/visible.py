"""Text of unknown origin (names, reasons, words of a server or a store) for a terminal and for a log.

Characters that do not print could control a terminal or hide a part of the text: escape sequences, carriage returns,
marks that change the direction of writing, characters without width. Each one is replaced by its escape. Letters of
every script stay.
"""

from __future__ import annotations

import re
from typing import Final

_NAMED: Final = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
# Python takes them as printing: combining joiner, Hangul and Khmer fillers, which show nothing.
_BLANK: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
# `![`, `](`, `][`, `]:`, `<b>`, `<!channel>`, `<@U1>`, `@everyone`
_ACTS: Final = re.compile(r"!(?=\[)|\](?=[(\[:])|<(?=[A-Za-z/!?@#$])|(?<![A-Za-z0-9])@(?=\w)")


def visible(text: str) -> str:
    """The text in one line. Every character that does not print is replaced by its escape, such as `\\x1b`."""
    if not hides(text):
        return text
    return "".join(escape(character) if hides(character) else character for character in text)


def visible_lines(text: str) -> str:
    """Like `visible`, for a text that keeps its lines. Lines after the first are indented, so that nobody takes
    them for words of this program."""
    return "\n  ".join(map(visible, text.split("\n")))


def inert(text: str) -> str:
    """Like `visible`, for a text that may be shown as Markdown, as HTML or in a chat: it makes no image, link, tag
    or mention."""
    return _ACTS.sub(lambda found: "(at)" if found[0] == "@" else f"{found[0]} ", visible_lines(text))


def hides(text: str) -> bool:
    """Whether a character is not shown as itself."""
    return not (text.isprintable() and _BLANK.isdisjoint(text))


def escape(character: str) -> str:
    """The escape of a character. For a byte that is not UTF-8, as `os.fsdecode` represents it, the escape of the
    byte."""
    code = ord(character)
    if character in _NAMED:
        return _NAMED[character]
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
