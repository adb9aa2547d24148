"""The fingerprint of a repository, as people write it: 40 hex digits in groups of five (FORMAT.md §2)."""

from __future__ import annotations

import re

DIGITS, GROUP = 40, 5


def grouped(digits: str) -> str:
    return "-".join(digits[start : start + GROUP] for start in range(0, DIGITS, GROUP))


def parse_fingerprint(text: str) -> str:
    """Upper case, blanks and other groupings are accepted. Raises ValueError."""
    digits = re.sub(r"[-\s]", "", text).lower()
    if not re.fullmatch(rf"[0-9a-f]{{{DIGITS}}}", digits):
        raise ValueError(
            f'"{text}" is not the fingerprint of a repository: `init` and `doctor` print it, '
            f"{DIGITS // GROUP} groups of {GROUP} hex digits"
        )
    return grouped(digits)
