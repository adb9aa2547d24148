"""The schema that a recovery point holds against that of the restored database, both as pg_dump writes them."""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

_HEADER = re.compile(
    r"^-- (?:Data for )?Name: (.*); Type: (.*); Schema: (.*); Owner: (.*?)(?:; Tablespace: .*)?$"
)
_STATE = re.compile(r"^SET (default_tablespace|default_table_access_method) = (.*);$")
_IGNORED = re.compile(r"^(?:\\(?:restrict|unrestrict|connect) .*|-- PostgreSQL database dump complete)$")
_STORED_SOMEWHERE = frozenset(("TABLE", "INDEX", "CONSTRAINT", "MATERIALIZED VIEW"))
# Their options may hold passwords: their texts are never shown.
_SECRET = frozenset(("FOREIGN DATA WRAPPER", "FOREIGN TABLE", "SERVER", "SUBSCRIPTION", "USER MAPPING"))
_ABOUT = ("ACL", "COMMENT", "SECURITY LABEL")
_SHOWN = 160


@dataclass(frozen=True, slots=True, order=True)
class DumpEntry:
    """The head of one object in a dump."""

    kind: str
    schema: str
    name: str
    owner: str

    @property
    def label(self) -> str:
        return (
            f"{self.kind} {self.schema}.{self.name}"
            if self.schema not in ("", "-")
            else f"{self.kind} {self.name}"
        )


Schema: TypeAlias = Mapping[DumpEntry, tuple[str, ...]]


def parse(lines: Iterable[str]) -> Schema:
    """The objects of a dump in SQL with their texts: several under one head keep their order."""
    found: dict[DumpEntry, list[str]] = defaultdict(list)
    state: dict[str, str] = {}
    entry: DumpEntry | None = None
    body: list[str] = []
    for line in lines:
        text = line.rstrip("\n")
        if match := _HEADER.match(text):
            following = _cut_tail(body)
            _close(found, entry, body, state)
            state |= following
            entry, body = DumpEntry(match[2], match[3], match[1], match[4]), []
        elif not _IGNORED.match(text):
            body.append(text)
    _cut_tail(body)
    _close(found, entry, body, state)
    return {entry: tuple(texts) for entry, texts in found.items()}


def _cut_tail(body: list[str]) -> dict[str, str]:
    """What stands between two objects says how the next ones are made."""
    state: dict[str, str] = {}
    while body and (body[-1] in ("", "--") or _STATE.match(body[-1])):
        if match := _STATE.match(body.pop()):
            state.setdefault(match[1], match[2])
    return state


def _close(
    found: dict[DumpEntry, list[str]], entry: DumpEntry | None, body: list[str], state: Mapping[str, str]
) -> None:
    if entry is None:
        return
    text = "\n".join(body).removeprefix("--\n").strip("\n")
    if entry.kind in _STORED_SOMEWHERE:
        text = "".join(f"-- {name} = {value}\n" for name, value in sorted(state.items())) + text
    found[entry].append(text)


def unlike(stored: Schema, restored: Schema) -> bool:
    """Whether an object of the restored schema has another text than the stored one, or is in it only."""
    return any(stored.get(entry) != texts for entry, texts in restored.items())


def differences(stored: Schema, restored: Schema, expected: Schema) -> Iterator[str]:
    """One line for each object that differs.

    An object is right if it is written as it was stored, or as in `expected`: what PostgreSQL itself makes of the
    stored definitions, which need not be their text. What is stored and missing is a difference in any case.
    """
    for entry in sorted(stored.keys() | restored.keys()):
        before, after, wanted = (schema.get(entry, ()) for schema in (stored, restored, expected))
        if after in (before, wanted) and after:
            continue
        if not after:
            yield f"schema: {entry.label} is missing in the restored database."
        elif not before:
            yield f"schema: {entry.label} is in the restored database only."
        elif entry.kind in _SECRET:
            yield f"schema: {entry.label} differs. Its options may hold a secret, and are not shown."
        else:
            yield f"schema: {entry.label} differs: {_first_difference(wanted or before, after)}"


def _first_difference(before: tuple[str, ...], after: tuple[str, ...]) -> str:
    stored, restored = "\n".join(before).split("\n"), "\n".join(after).split("\n")
    lines = islice(
        difflib.unified_diff(stored, restored, n=0, lineterm=""), 2, None
    )  # after the names of files
    changed = [line for line in lines if line[0] in "+-"]
    old = next((line[1:].strip() for line in changed if line[0] == "-"), "nothing")
    new = next((line[1:].strip() for line in changed if line[0] == "+"), "nothing")
    return f"{old[:_SHOWN]!r} stored, {new[:_SHOWN]!r} restored."


def of_whom_it_was(schema: Schema, superuser: str, stored: Schema) -> Schema:
    """What is said about the server's own things, and those of extensions, names their owner: the server's superuser,
    who has another name there. Whether they are granted and commented on the same is in the texts."""
    owners = {(each.kind, each.schema, each.name): each for each in stored if each.kind in _ABOUT}
    return {
        owners.get((entry.kind, entry.schema, entry.name), entry)
        if entry.owner == superuser
        else entry: texts
        for entry, texts in schema.items()
    }


def without_roles(schema: Schema, roles: Iterable[str]) -> Schema:
    """The schema without the entries that cannot be created while these roles are missing: policies for them, and their
    mappings."""
    names = [*roles]
    return {
        DumpEntry(entry.kind, entry.schema, entry.name, ""): texts
        for entry, texts in schema.items()
        if entry.kind not in ("POLICY", "USER MAPPING", "ACL", "DEFAULT ACL")
        or not any(name in text for name in names for text in texts)
    }
