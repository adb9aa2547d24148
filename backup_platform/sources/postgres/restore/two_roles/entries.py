"""Which of the two roles restores which entries of a dump, and when.

Code of the database runs when rows are checked, indexed, routed and computed, and whenever the server simplifies an
expression. For example, an expression of a partition key runs when a partition is attached. So the runner, which is not
a superuser, restores everything except the entries that are listed here and those that `definitions` finds. The
superuser only restores entries that call no code of the database.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import groupby, takewhile

from backup_platform.sources.postgres.dump.toc import TocEntry

_RESERVED = frozenset(
    (
        "ACCESS METHOD",
        "CAST",
        "EXTENSION",
        "FOREIGN DATA WRAPPER",
        "OPERATOR CLASS",
        "OPERATOR FAMILY",
        "PROCEDURAL LANGUAGE",
        "SERVER",
        "SHELL TYPE",
        "TEXT SEARCH PARSER",
        "TEXT SEARCH TEMPLATE",
        "TRANSFORM",
    )
)
# Restored after everything that runs code: event triggers would fire.
LATE = frozenset(
    (
        "EVENT TRIGGER",
        "PUBLICATION",
        "PUBLICATION TABLE",
        "PUBLICATION TABLES IN SCHEMA",
        "SUBSCRIPTION",
        "SUBSCRIPTION TABLE",
    )
)
_AFTER_DATA = LATE | {
    *("CHECK CONSTRAINT", "CONSTRAINT", "FK CONSTRAINT", "INDEX", "INDEX ATTACH", "MATERIALIZED VIEW DATA"),
    *("POLICY", "ROW SECURITY", "RULE", "STATISTICS", "TRIGGER"),
}
GRANTS = frozenset(("ACL", "DEFAULT ACL"))
_ABOUT = ("COMMENT", "SECURITY LABEL")
_OF_OTHERS = ("EXTENSION ", "SCHEMA public", "DATABASE ")
# Kinds of which pg_restore sets the owner.
OWNED = frozenset(
    (
        *(
            "AGGREGATE",
            "COLLATION",
            "CONVERSION",
            "DOMAIN",
            "FOREIGN DATA WRAPPER",
            "FOREIGN TABLE",
            "FUNCTION",
        ),
        *(
            "MATERIALIZED VIEW",
            "OPERATOR",
            "OPERATOR CLASS",
            "OPERATOR FAMILY",
            "PROCEDURAL LANGUAGE",
            "PROCEDURE",
        ),
        *("SCHEMA", "SEQUENCE", "SERVER", "STATISTICS", "TABLE", "TEXT SEARCH CONFIGURATION"),
        *("TEXT SEARCH DICTIONARY", "TYPE", "VIEW"),
    )
)
# Whose owner must be a superuser.
OF_SUPERUSERS = LATE | {"FOREIGN DATA WRAPPER"}


def before_data(toc: Sequence[TocEntry], more: Collection[int]) -> Iterator[tuple[bool, list[int]]]:
    """Entries in the archive's order, by who makes them: True is the superuser. `more` are reserved for it, too."""
    first = list(takewhile(lambda entry: entry.kind not in _AFTER_DATA, toc))
    reserved = _with_what_is_about(toc, _made_by_superusers(toc) | set(more))
    for by_superuser, entries in groupby(first, lambda entry: entry.id in reserved):
        yield by_superuser, [entry.id for entry in entries]


def after_data(toc: Sequence[TocEntry]) -> list[int]:
    """All by the runner."""
    late = _late(toc)
    return [entry.id for entry in toc if entry.id not in late]


def at_last(toc: Sequence[TocEntry]) -> tuple[list[int], list[int]]:
    """By the superuser: owners, grants, and late entries. Then event triggers, which are active from then on."""
    late, triggers = _late(toc), _with_what_is_about(toc, {e.id for e in toc if e.kind == "EVENT TRIGGER"})
    most = (e for e in toc if e.id in late or e.kind in OWNED or e.kind in GRANTS)
    return [e.id for e in most if e.id not in triggers], [e.id for e in toc if e.id in triggers & late]


def _late(toc: Sequence[TocEntry]) -> set[int]:
    return _with_what_is_about(toc, {entry.id for entry in toc if entry.kind in LATE})


def _made_by_superusers(toc: Sequence[TocEntry]) -> set[int]:
    """A base type has a shell first."""
    shells = {(entry.schema, entry.tag) for entry in toc if entry.kind == "SHELL TYPE"}
    return {
        entry.id
        for entry in toc
        if entry.kind in _RESERVED or (entry.kind == "TYPE" and (entry.schema, entry.tag) in shells)
    }


def _with_what_is_about(toc: Sequence[TocEntry], found: set[int]) -> set[int]:
    about = (
        entry.id
        for entry in toc
        if entry.kind in _ABOUT and (found & set(entry.needs) or entry.tag.startswith(_OF_OTHERS))
    )
    return found | set(about)
