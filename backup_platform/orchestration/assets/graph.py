"""The assets of a code location as a place to look: which are neither backed up nor made from what is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, TypeAlias

import dagster as dg

from backup_platform.domain.coverage import Neighbour, Surroundings
from backup_platform.domain.words import are, how_many
from backup_platform.errors import SourceError

ROLE_TAG = "backup_platform/role"  # on every asset of this package, whatever a translator calls it
Role: TypeAlias = Literal["backup", "source", "copy", "upkeep", "coverage"]
RECOMPUTABLE = "backup_platform/recomputable"  # in an asset's metadata: why it can be made again
TITLE = "the Dagster code location"
LACK = "is neither backed up nor made from assets that are"

Graph = Mapping[dg.AssetKey, dg.AssetSpec]


def with_role(spec: dg.AssetSpec, role: Role) -> dg.AssetSpec:
    return spec.merge_attributes(tags={ROLE_TAG: role})


def specs_of(context: dg.AssetExecutionContext) -> list[dg.AssetSpec]:
    """All assets of the code location of a run. Raises SourceError for a run that was started without it."""
    try:
        definitions = context.repository_def.assets_defs_by_key.values()
    except Exception as error:  # Dagster's own, which has no public name
        raise SourceError(
            "This run was started without its code location, so its assets are not known.",
            hint="Materialise it from Dagster's UI, by its schedule, or by `dagster job execute`.",
        ) from error
    return [spec for each in {id(each): each for each in definitions}.values() for spec in each.specs]


def surroundings(specs: Iterable[dg.AssetSpec]) -> Surroundings:
    """The assets that others are made from, and that are made from none: what is made from them can be made again. One
    is protected if a backup depends on it. Assets of this package are none of them."""
    graph = {spec.key: spec for spec in specs}
    protecting = _protecting(graph.values())
    children = _children(graph.values())
    return Surroundings(TITLE, [_neighbour(key, graph, protecting, children) for key in _roots(graph)], LACK)


def _protecting(specs: Iterable[dg.AssetSpec]) -> dict[dg.AssetKey, list[str]]:
    """The sources that back up each asset, by the names that their backups have."""
    found: dict[dg.AssetKey, list[str]] = {}
    for spec in specs:
        for dep in spec.deps if spec.tags.get(ROLE_TAG) == "backup" else ():
            found.setdefault(dep.asset_key, []).append(spec.key.to_user_string())
    return found


def _children(specs: Iterable[dg.AssetSpec]) -> dict[dg.AssetKey, list[dg.AssetKey]]:
    found: dict[dg.AssetKey, list[dg.AssetKey]] = {}
    for spec in specs:
        for dep in spec.deps if ROLE_TAG not in spec.tags else ():
            found.setdefault(dep.asset_key, []).append(spec.key)
    return found


def _roots(graph: Graph) -> Iterator[dg.AssetKey]:
    """Those without assets above them, also where only the asset below is defined here."""
    named = {dep.asset_key for spec in graph.values() for dep in spec.deps if ROLE_TAG not in spec.tags}
    for key in sorted({*graph, *named}, key=dg.AssetKey.to_user_string):
        spec = graph.get(key)
        if spec is None or (not list(spec.deps) and spec.tags.get(ROLE_TAG, "source") == "source"):
            yield key


def _neighbour(
    key: dg.AssetKey,
    graph: Graph,
    protecting: Mapping[dg.AssetKey, Sequence[str]],
    children: Mapping[dg.AssetKey, Sequence[dg.AssetKey]],
) -> Neighbour:
    spec = graph.get(key)
    below = len(_below(key, children))
    notes = [f"{how_many(below, 'asset')} {are(below)} made from it"] if below else []
    notes += ["it is not defined in this code location"] if spec is None else []
    return Neighbour(
        key.to_user_string(),
        "asset",
        tuple(protecting.get(key, ())),
        note="; ".join(notes),
        reason=_declared(spec) if spec else "",
    )


def _declared(spec: dg.AssetSpec) -> str:
    value = spec.metadata.get(RECOMPUTABLE)
    return str(value.value if isinstance(value, dg.MetadataValue) else value or "").strip()


def _below(key: dg.AssetKey, children: Mapping[dg.AssetKey, Sequence[dg.AssetKey]]) -> set[dg.AssetKey]:
    found: set[dg.AssetKey] = set()
    waiting = [key]
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return found
