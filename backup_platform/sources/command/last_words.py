"""What a program says on standard error: its last lines, without the secrets that it was given."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote

from backup_platform.domain.visible import visible

KEPT = 16 << 10  # bytes
LINES, CHARACTERS = 10, 1_500
HIDDEN = b"(secret)"


class LastWords:
    """The end of a text that arrives in blocks. Memory is bounded, whatever is added."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {form for secret in secrets for form in _forms(secret)}
        self._longest = max(map(len, forms), default=0)
        longest_first = sorted(forms, key=len, reverse=True)
        self._secret = re.compile(b"|".join(map(re.escape, longest_first))) if forms else None
        self._bytes, self._cut = bytearray(), False

    def add(self, block: bytes) -> None:
        self._bytes += block
        too_many = len(self._bytes) - KEPT - self._longest
        if too_many > 0:
            del self._bytes[:too_many]
            self._cut = True

    def lines(self) -> list[str]:
        """The last lines that are not empty. What does not print is shown as an escape."""
        text = self._without_secrets().decode("utf-8", "surrogateescape")
        found = [visible(line.strip()) for line in re.split(r"[\r\n]+", text) if line.strip()]
        return found[-LINES:]

    def text(self) -> str:
        """The last lines as one text."""
        text = "\n".join(self.lines())
        return text if len(text) <= CHARACTERS else f"…{text[-CHARACTERS:]}"

    def _without_secrets(self) -> bytes:
        """What is cut may begin in a secret: so many bytes are left out, and no secret is cut again."""
        start = self._longest if self._cut else 0
        if self._secret is None:
            return bytes(self._bytes)
        kept, at = bytearray(), start
        for found in self._secret.finditer(self._bytes):
            if found.end() > at:
                kept += self._bytes[at : max(at, found.start())] + HIDDEN
                at = found.end()
        return bytes(kept + self._bytes[at:])


def _forms(secret: str) -> Iterator[bytes]:
    """As it is, as in a URL, and line by line."""
    for text in {secret, quote(secret), quote(secret, safe=""), *secret.splitlines()}:
        if text.strip():
            yield os.fsencode(text)
