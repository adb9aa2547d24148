"""Command lines over recovery points of tables, in a real repository."""

from __future__ import annotations

from backup_platform.app import App
from backup_platform.plan import Plan
from backup_platform_tests.support import Bench


def tables_app(bench: Bench) -> App:
    """The application of a plan whose repository is that of the bench. This host knows it, as after `init`."""
    plan = Plan.model_validate(
        {
            "repository": {"path": str(bench.root)},
            "sources": {"uploads": {"files": str(bench.root), "every": "day"}},
        }
    )
    app = App(plan, str(bench.root / "backup.yaml"), bench.clock)
    app.recognising.made(app.repository.info)
    return app
