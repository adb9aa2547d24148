"""The table of contents of a pg_dump archive, as `pg_restore --list --verbose` prints it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

# Kinds of more than one word; every other kind is the first word.
_LONG_KINDS = (
    "ACCESS METHOD",
    "CHECK CONSTRAINT",
    "DATABASE PROPERTIES",
    "DEFAULT ACL",
    "EVENT TRIGGER",
    "FK CONSTRAINT",
    "FOREIGN DATA WRAPPER",
    "FOREIGN TABLE",
    "INDEX ATTACH",
    "LARGE OBJECT",
    "MATERIALIZED VIEW",
    "OPERATOR CLASS",
    "OPERATOR FAMILY",
    "PROCEDURAL LANGUAGE",
    "PUBLICATION TABLE",
    "PUBLICATION TABLES IN SCHEMA",
    "ROW SECURITY",
    "SECURITY LABEL",
    "SEQUENCE OWNED BY",
    "SEQUENCE SET",
    "SHELL TYPE",
    "STATISTICS DATA",
    "SUBSCRIPTION TABLE",
    "TABLE ATTACH",
    "TABLE DATA",
    "TEXT SEARCH CONFIGURATION",
    "TEXT SEARCH DICTIONARY",
    "TEXT SEARCH PARSER",
    "TEXT SEARCH TEMPLATE",
    "USER MAPPING",
)
_LINE = re.compile(r"^(\d+); \d+ \d+ (.*)$")
_DEPENDS = re.compile(r"^;\s+depends on: ([\d ]+)$")


@dataclass(frozen=True, slots=True)
class TocEntry:
    """`schema` is "" if the entry is in no schema. `tag` is the name. For an object of a table it is preceded by the
    table's name."""

    id: int
    kind: str
    schema: str
    tag: str
    owner: str
    needs: tuple[int, ...] = ()

    @property
    def label(self) -> str:
        return (
            f"{self.kind.lower()} {self.schema}.{self.tag}"
            if self.schema
            else f"{self.kind.lower()} {self.tag}"
        )


def listed(name: str) -> str:
    """A name as a table of contents shows it."""
    return name.replace("\n", " ").replace("\r", " ")


def parse_toc(listing: str, schemas: Collection[str], roles: Collection[str]) -> list[TocEntry]:
    """The entries in order. `schemas` and `roles` say where names with spaces in them end."""
    parser = _Parser(_longest(schemas), _longest(roles))
    return list(parser.entries(listing.split("\n")))


def _longest(names: Collection[str]) -> Sequence[str]:
    return sorted(map(listed, names), key=len, reverse=True)


@dataclass(frozen=True, slots=True)
class _Parser:
    schemas: Sequence[str]
    roles: Sequence[str]

    def entries(self, lines: Sequence[str]) -> Iterator[TocEntry]:
        found: TocEntry | None = None
        needs: tuple[int, ...] = ()
        for line in lines:
            if match := _DEPENDS.match(line):
                needs = tuple(dict.fromkeys(map(int, match[1].split())))
            elif match := _LINE.match(line):
                if found:
                    yield _with_needs(found, needs)
                found, needs = self._entry(int(match[1]), match[2]), ()
        if found:
            yield _with_needs(found, needs)

    def _entry(self, number: int, text: str) -> TocEntry:
        kind = next((k for k in _BY_LENGTH if text.startswith(k + " ")), text.split(" ", 1)[0])
        rest = text[len(kind) + 1 :]
        schema = next((s for s in ("-", *self.schemas) if rest.startswith(s + " ")), rest.split(" ", 1)[0])
        rest = rest[len(schema) + 1 :]
        owner = next((r for r in self.roles if rest.endswith(" " + r)), rest.rsplit(" ", 1)[-1])
        tag = rest[: len(rest) - len(owner) - 1]
        return TocEntry(number, kind, "" if schema == "-" else schema, tag, owner)


_BY_LENGTH = sorted(_LONG_KINDS, key=len, reverse=True)


def _with_needs(entry: TocEntry, needs: tuple[int, ...]) -> TocEntry:
    return TocEntry(entry.id, entry.kind, entry.schema, entry.tag, entry.owner, needs)
