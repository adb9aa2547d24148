"""Functions of a database that a superuser would call: validators of foreign data, and of languages.

A server calls the validator of a foreign-data wrapper for every server, table and mapping of it, and the validator of a
language for every function. The owner of a validator decides what it does. So wrappers and languages that belong to no
extension are created without their validators, and get them after everything else was created.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from backup_platform.errors import SourceError
from backup_platform.sources.postgres.dump.pg_restore import unquoted

KINDS = ("FOREIGN DATA WRAPPER", "PROCEDURAL LANGUAGE")
_NAME = r'(?:"(?:[^"]|"")*"|[\w$]+)'
_FUNCTION = rf"{_NAME}(?:\.{_NAME})?"
# As pg_dump writes them.
_WRAPPER = re.compile(
    rf"\s*(CREATE (FOREIGN DATA WRAPPER {_NAME})(?: HANDLER {_FUNCTION})?)( VALIDATOR {_FUNCTION})"
)
_LANGUAGE = re.compile(
    rf"\s*(CREATE (?:OR REPLACE )?((?:TRUSTED )?PROCEDURAL LANGUAGE {_NAME} HANDLER {_FUNCTION}"
    rf"(?: INLINE {_FUNCTION})?))( VALIDATOR {_FUNCTION})"
)


@dataclass
class Validators:
    """`returned` are the statements that give back what `take` took."""

    returned: list[str] = field(default_factory=list)

    def take(self, kind: str, definition: bytes) -> bytes:
        """The definition without its validator. Raises `SourceError` for one that is written otherwise."""
        if kind not in KINDS:
            return definition
        text = definition.decode("utf-8", "surrogateescape")
        if found := _WRAPPER.match(text):
            self.returned.append(f"ALTER {found[2]}{found[3]}")
        elif found := _LANGUAGE.match(text):
            self.returned.append(f"CREATE OR REPLACE {found[2]}{found[3]}")
        elif re.search(r"\bVALIDATOR\b", unquoted(text)):
            raise _unknown(kind)
        else:
            return definition
        return f"{found[1]}{text[found.end() :]}".encode("utf-8", "surrogateescape")


def _unknown(kind: str) -> SourceError:
    return SourceError(
        f"The drill cannot be made: a {kind.lower()} has a validator in a place where no known version of pg_dump "
        "writes it.",
        hint="Name a drill_server in the plan.",
    )
