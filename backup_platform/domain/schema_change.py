"""The check of kinds whose facts hold the source's schema."""

from __future__ import annotations

from collections.abc import Sequence

from backup_platform.domain.checks import CheckResult, KindCheck, not_compared
from backup_platform.domain.model import Json, RecoveryPoint
from backup_platform.domain.trust.suspicion import baseline
from backup_platform.domain.words import first_of, how_many

NAME = "schema_unchanged"
MOST_NAMED = 5  # objects in the summary; the metadata have all


def schema_unchanged(history: Sequence[RecoveryPoint], point: RecoveryPoint) -> CheckResult:
    """Compare the schema with that of the previous point."""
    before = baseline(history, point.kind, point.sequence)
    if not before:
        return not_compared(NAME, {})
    old, new = before[-1].facts, point.facts
    same = old.get("schema_fingerprint") == new.get("schema_fingerprint")
    difference = [] if same else _schema_difference(old.get("schema"), new.get("schema"))
    metadata: dict[str, Json] = {"difference": list(difference)} if difference else {}
    compared = f"compared with {before[-1].window.key}"
    found = f"{how_many(len(difference), 'difference')}, {compared}"
    named = f"{found}: {first_of(difference, MOST_NAMED)}" if difference else found
    summary = f"as before, {compared}" if same else named
    return CheckResult(NAME, same, "warn", summary, metadata)


def _schema_difference(old: Json | None, new: Json | None) -> list[str]:
    before, after = _objects(old), _objects(new)
    lines = [f"removed {name}" for name in sorted(before.keys() - after.keys())]
    lines += [f"added {name}" for name in sorted(after.keys() - before.keys())]
    lines += [f"changed {n}" for n in sorted(before.keys() & after.keys()) if before[n] != after[n]]
    return lines


def _objects(schema: Json | None) -> dict[str, Json]:
    if not isinstance(schema, list):
        return {}
    return {f"{o.get('type')} {o.get('name')}": o.get("sql") for o in schema if isinstance(o, dict)}


SCHEMA_UNCHANGED = KindCheck(
    NAME,
    "warn",
    "The schema is that of the recovery point before. Warns, and shows the difference.",
    schema_unchanged,
    remedy="Nothing is lost. Find out whether the change was meant: the point before has the old schema.",
)
