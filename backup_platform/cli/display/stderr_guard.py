"""Standard error of the command line: what libraries write to it, and tracebacks, cannot act on a terminal."""

from __future__ import annotations

import sys
from typing import Any, TextIO, cast

from backup_platform.domain.visible import visible


class _Shown:
    """A stream of text in which only the ends of lines are not shown as escapes."""

    def __init__(self, bare: TextIO) -> None:
        self.bare = bare

    def write(self, text: str) -> int:
        self.bare.write("\n".join(map(visible, text.split("\n"))))
        return len(text)

    def writelines(self, texts: Any) -> None:
        for text in texts:
            self.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.bare, name)


def bare(stream: TextIO) -> TextIO:
    """The unguarded stream, for output that controls the terminal: colours, a progress bar."""
    return stream.bare if isinstance(stream, _Shown) else stream


def guard_stderr() -> None:
    sys.stderr = cast("TextIO", _Shown(bare(sys.stderr)))
