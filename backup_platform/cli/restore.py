"""`restore`: bring back a recovery point, or a part of it, into a directory."""

from __future__ import annotations

import typer


def restore(ctx: typer.Context) -> int:
    """Restore."""
    return 0
