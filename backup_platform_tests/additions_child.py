"""What users see of the additions: run with a copy of the package that has them, below a directory for its plan.

Writes one JSON document: what was printed, by command line, and what Dagster recorded of a backup.
"""

from __future__ import annotations

import io
import json
import os
import sys
from contextlib import redirect_stderr, redirect_stdout, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import dagster as dg

import backup_platform
from backup_platform.app import App
from backup_platform.cli.entry import main
from backup_platform.orchestration.build import build_definitions
from backup_platform.orchestration.translator import BackupTranslator

PLAN = """
repository: {{path: "plain://{root}/repository"}}
state: state
alerts: ["pager://team"]
sources: {{docs: {{files: docs, every: day, keep: {{quarterly: 3}}}}}}
"""
LINES = (
    ("init",),
    ("--help",),
    ("man",),
    ("doctor", "--json"),
    ("age", "docs@latest", "--json"),
    ("retention", "--explain", "--json"),
    ("metrics", "--json"),
    ("accept", "docs@latest", "--reason", "because"),
    ("accept", "docs@latest", "--reason", "because", "--json"),
)


def printed(plan: Path, words: tuple[str, ...]) -> tuple[int, str, str]:
    """The exit code, and both outputs."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(["--plan", str(plan), *words])
    return code, out.getvalue(), err.getvalue()


def offered(line: str) -> str:
    """What a shell offers after Tab."""
    os.environ |= {
        "_BACKUP_PLATFORM_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(line.count(" ")),
    }
    with redirect_stdout(io.StringIO()) as out, suppress(SystemExit):
        main([])
    return out.getvalue()


def recorded(app: App) -> dict[str, Any]:
    """What Dagster keeps of a backup."""
    definitions = build_definitions(BackupTranslator(app))
    [asset] = [each for each in definitions.assets or () if isinstance(each, dg.AssetsDefinition)][:1]
    with dg.DagsterInstance.ephemeral() as instance:
        window = app.windows.schedule("docs").current(app.clock.now())
        assert window
        done = dg.materialize([asset], instance=instance, partition_key=window.key, raise_on_error=True)
    [made] = done.asset_materializations_for_node(asset.node_def.name)
    return {
        "metadata": {name: value.value for name, value in made.metadata.items()},
        "checks": [each.check_name for each in done.get_asset_check_evaluations()],
    }


def alerted(app: App) -> list[str]:
    """What a new kind of channel is sent."""
    decorators: Any = import_module("apprise.decorators")
    told: list[str] = []

    def page(body: str, title: str, notify_type: str, *args: Any, **more: Any) -> bool:
        told.append(f"{title}: {body}")
        return True

    decorators.notify(on="pager")(page)
    for channel in app.channels():
        channel.send("docs", "The backup failed")
    return told


def run(root: Path) -> dict[str, Any]:
    plan = root / "backup.yaml"
    plan.write_text(PLAN.format(root=root))
    (root / "docs").mkdir()
    (root / "docs" / "one").write_text("content")
    seen: dict[str, Any] = {"alerted": alerted(App.load(str(plan)))}
    seen["init"] = printed(plan, LINES[0])
    seen["dagster"] = recorded(App.load(str(plan)))
    seen |= {" ".join(words): printed(plan, words) for words in LINES[1:]}
    return {**seen, "offered": offered("backup-platform ag")}


if __name__ == "__main__":
    home = Path(sys.argv[1])
    assert Path(backup_platform.__file__).is_relative_to(home), backup_platform.__file__
    print(json.dumps(run(home), default=str))
