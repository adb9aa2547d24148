"""Which kinds of sources exist: those of this package, and those that other distributions register.

A kind of this package is a folder of `sources` with a module `kind`, which has the kind as `KIND`. A kind of another
distribution is an entry point of the group `backup_platform.sources` with the name of the kind.

Kinds are found by name, and imported when they are needed. So the plan can have their models, a command only imports
the kinds of its plan, and entry points are only read if a plan names an unknown kind.
"""

from __future__ import annotations

import os
import pkgutil
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from backup_platform.domain.ports import Source
from backup_platform.domain.words import listing
from backup_platform.errors import PlanError
from backup_platform.kinds.kind import AnyKind, SourceContext, SourceKind

if TYPE_CHECKING:
    from backup_platform.kinds.config import KindConfig

GROUP = "backup_platform.sources"  # of entry points
HOME = "backup_platform.sources"  # of this package's kinds


@cache
def built_in() -> tuple[str, ...]:
    """The names of this package's kinds."""
    folders = import_module(HOME).__path__
    return tuple(
        module.name
        for module in pkgutil.iter_modules(folders)
        if any(os.path.exists(os.path.join(folder, module.name, "kind.py")) for folder in folders)
    )


@cache
def registered() -> dict[str, tuple[EntryPoint, ...]]:
    """The entry points of other distributions, by the kind that they name. Names of built-in kinds are left out."""
    found: dict[str, tuple[EntryPoint, ...]] = {}
    for each in entry_points(group=GROUP):
        if each.name not in built_in():
            found[each.name] = (*found.get(each.name, ()), each)
    return found


def names() -> list[str]:
    """The names of all kinds. Reads the entry points, and imports no kind."""
    return [*built_in(), *sorted(registered())]


def among(keys: Iterable[str]) -> list[str]:
    """The keys that name a kind, in their order."""
    given = list(keys)
    return [key for key in given if key in built_in()] or [key for key in given if key in registered()]


@cache
def find(name: str) -> AnyKind | None:
    """The kind with that name, or None. Raises PlanError for a kind that cannot be used."""
    if name in built_in():
        kind: AnyKind = import_module(f"{HOME}.{name}.kind").KIND
        return kind
    return _load(name, registered()[name]) if name in registered() else None


def known(name: str) -> AnyKind:
    """The kind of a name that `among` or `names` gave. Raises PlanError for a kind that cannot be used."""
    kind = find(name)
    assert kind is not None, name
    return kind


def _load(name: str, found: tuple[EntryPoint, ...]) -> AnyKind:
    if len(found) > 1:
        owners = listing(sorted(_owner(each) for each in found))
        raise PlanError(f"{owners} both bring a kind of source {name!r}.", hint="Uninstall one of them.")
    try:
        loaded = found[0].load()
    except Exception as error:
        raise PlanError(
            f"The kind of source {name!r} of {_owner(found[0])} cannot be loaded: {type(error).__name__}: {error}",
            hint="Install a version of it that fits this version of backup-platform.",
        ) from error
    if not isinstance(loaded, SourceKind) or loaded.name != name:
        raise PlanError(
            f"The entry point {name!r} of {_owner(found[0])} is not a SourceKind with that name.",
            hint="Its authors have to correct this: see docs/kinds.md.",
        )
    return loaded


def _owner(found: EntryPoint) -> str:
    return found.dist.name if found.dist else found.value


def every() -> dict[str, AnyKind]:
    """All kinds that can be used, by name. A kind of another distribution that cannot be used is left out, so that it
    does not stop others."""
    usable = {}
    for name in names():
        try:
            kind = find(name)
        except PlanError:
            continue
        if kind is not None:
            usable[name] = kind
    return usable


def described(name: str) -> AnyKind:
    """The kind of a recovery point, for texts about it. If that kind is not installed, a kind that can do nothing."""
    try:
        found = find(name)
    except PlanError:
        found = None
    if found is None:
        from backup_platform.kinds.config import KindConfig

        found = SourceKind(name, name, KindConfig, _not_installed)
    return found


def _not_installed(config: KindConfig, context: SourceContext) -> Source:
    raise PlanError(f"The kind of the source {context.name} is not installed here.", subject=context.name)


def forget() -> None:
    """Look for the kinds again. For tests that install one."""
    for function in (built_in, registered, find):
        function.cache_clear()
