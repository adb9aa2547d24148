"""Names of files for people and for JSON. A name is any bytes: it must not be able to act on a terminal."""

from __future__ import annotations

import base64
import os

from backup_platform.domain.model import Json
from backup_platform.domain.visible import escape, hides

_NAMED = {"\x1b": "\\e", "\\": "\\\\", "'": "\\'"}


def printable(name: bytes | str) -> str:
    """The name itself if it prints, else in the shell's form `$'…'`, which can be pasted."""
    text = os.fsdecode(name)
    if not hides(text) and not text.startswith("$'"):
        return text
    return "$'" + "".join(map(_quoted, text)) + "'"


def _quoted(char: str) -> str:
    return _NAMED.get(char) or (escape(char) if hides(char) else char)


def name_fields(key: str, name: bytes) -> dict[str, Json]:
    """`{key: text}`; of a name that is not UTF-8 odd bytes are escaped, and `key_b64` is exact."""
    try:
        return {key: name.decode("utf-8")}
    except UnicodeDecodeError:
        exact = base64.b64encode(name).decode("ascii")
        return {key: name.decode("utf-8", "backslashreplace"), f"{key}_b64": exact}
