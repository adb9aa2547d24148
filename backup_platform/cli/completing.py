"""What a shell offers after Tab: names of sources, points and repositories. It never fails and prints no
message."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from backup_platform.cli import context
from backup_platform.domain.visible import hides

if TYPE_CHECKING:
    from backup_platform.services.protocols import Services

_POINTS = ("POINT", "A", "B")


def completion(metavar: str, option: str) -> Callable[[Any, Any, str], list[str]] | None:
    """How a word of this kind is completed; None: as the shell does."""
    if metavar in _POINTS:
        return _quiet(_points)
    if metavar == "SOURCE":
        return _quiet(lambda app, typed: list(app.plan.sources))
    if metavar == "SOURCE|POINT":
        return _quiet(lambda app, typed: [*app.plan.sources, *_points(app, typed)])
    if metavar == "NAME" and option in ("--repository", "--to", "--from"):
        return _quiet(lambda app, typed: list(app.plan.repositories))
    return None


def _points(app: Services, typed: str) -> list[str]:
    """The latest of every source; the windows of one that was named, which asks its repository."""
    source, at, _ = typed.partition("@")
    if not at:
        return [f"{name}@latest" for name in app.plan.sources]
    return [
        f"{source}@latest",
        *(f"{source}@{point.window.key}" for point in reversed(app.points.all(source))),
    ]


def _quiet(names: Callable[[Services, str], list[str]]) -> Callable[[Any, Any, str], list[str]]:
    def complete(ctx: Any, param: Any, typed: str) -> list[str]:
        try:
            return [name for name in names(_app(), typed) if name.startswith(typed) and not hides(name)]
        except Exception:  # there is nothing to offer, and the prompt is no place for an error
            return []

    return complete


def _app() -> Services:
    """Of the plan and repository that the line names so far."""
    words = os.environ.get("COMP_WORDS", os.environ.get("_TYPER_COMPLETE_ARGS", "")).split()
    named = dict(pairwise(words))
    app = context.app_factory(named.get("--plan"))
    return app.at(named["--repository"]) if "--repository" in named else app
