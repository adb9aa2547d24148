"""Names of files for people and for JSON. A name is any bytes: it must not be able to act on a terminal."""

from __future__ import annotations

import base64
import os

from backup_platform.domain.model import Json

_NAMED = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\x1b": "\\e", "\\": "\\\\", "'": "\\'"}


def printable(name: bytes | str) -> str:
    """The name as it is where that prints, else in the shell's `$'…'` form, which can be pasted back."""
    text = os.fsdecode(name)
    if text.isprintable() and not text.startswith("$'"):
        return text
    return "$'" + "".join(_escape(char) for char in text) + "'"


def one_line(text: str) -> str:
    """Text of unknown origin, with everything that does not print replaced by its escape."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def _escape(char: str) -> str:
    if char in _NAMED:
        return _NAMED[char]
    if char.isprintable():
        return char
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, as os.fsdecode carries it
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def name_fields(key: str, name: bytes) -> dict[str, Json]:
    """`{key: text}`; of a name that is not UTF-8 odd bytes are escaped, and `key_b64` is exact."""
    try:
        return {key: name.decode("utf-8")}
    except UnicodeDecodeError:
        exact = base64.b64encode(name).decode("ascii")
        return {key: name.decode("utf-8", "backslashreplace"), f"{key}_b64": exact}
