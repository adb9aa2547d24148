"""Make the pictures in docs/images anew: `.venv/bin/python docs/screenshots.py`. Needs Chromium.

They show a fortnight of daily windows, two of them missed. Recovery points are captured by Dagster runs with the
program's own code; only its clock is set back, because no window of the past can be captured.
"""

from __future__ import annotations

import os
import re
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import dagster as dg
from playwright.sync_api import Page, sync_playwright

from backup_platform.app import App
from backup_platform.orchestration.build import build_definitions
from backup_platform.orchestration.translator import BackupTranslator
from backup_platform_tests.ui.server import CHROMIUM, CHROMIUM_OPTIONS, ROOT, served
from demo import data
from demo.run import DAGSTER_YAML
from demo.server import server_of

DAYS = 14
MISSED = (5, 6)
PLAN = """\
repository: {{path: repository}}
state: state
sources:
  shop: {{sqlite: data/shop.db, every: day, at: "02:15", timezone: Europe/Berlin, since: {since},
         owners: ["team:shop"], description: Orders and prices of the shop.}}
  uploads: {{files: data/uploads, every: day, since: {since}, description: What customers uploaded.}}
"""


@dataclass
class SetBack:
    """`ports.Clock` that shows the time it is set to."""

    instant: datetime

    def now(self) -> datetime:
        return self.instant

    def monotonic(self) -> float:
        return time.monotonic()


def prepare(state: Path, first: datetime) -> Path:
    (state / "dagster").mkdir(parents=True)
    (state / "dagster/dagster.yaml").write_text(DAGSTER_YAML)
    (state / "data/uploads").mkdir(parents=True)
    data.make_shop(str(state / "data/shop.db"), 40_000)
    data.make_uploads(str(state / "data/uploads"), 500)
    server_of(str(state)).create()  # `make dev` starts it, and nothing here is in it
    plan = state / "backup.yaml"
    plan.write_text(PLAN.format(since=f"{first:%Y-%m-%d}"))
    return plan


def history(state: Path) -> None:
    """A run per day and source. The window of today is left to the daemon, as is telling of the missed ones."""
    today = datetime.now(UTC).replace(hour=1, minute=15, second=0, microsecond=0)
    clock = SetBack(today - timedelta(days=DAYS))
    app = App.load(str(prepare(state, clock.instant)), clock=clock)
    app.setup.init()
    job = build_definitions(BackupTranslator(app)).resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.from_config(str(state / "dagster")) as instance:
        for day in range(DAYS):
            clock.instant = today - timedelta(days=DAYS - day)
            business(state, day)
            if day not in MISSED:
                back_up(app, job, instance)
            print(f"{clock.instant:%Y-%m-%d}", "missed" if day in MISSED else "captured", flush=True)


def back_up(app: App, job: dg.JobDefinition, instance: dg.DagsterInstance) -> None:
    for source in app.plan.sources:
        job.execute_in_process(
            instance=instance,
            partition_key=app.windows.schedule(source).window_of(app.clock.now()).key,
            asset_selection=[dg.AssetKey(["backups", source])],
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )


def business(state: Path, day: int) -> None:
    """A day of a growing shop, with quiet days and busy ones."""
    orders = 700 + 300 * (day * 5 % 7)
    with closing(sqlite3.connect(state / "data/shop.db")) as connection, connection:
        connection.execute(
            "INSERT INTO purchase SELECT (SELECT max(id) FROM purchase) + id, customer_id, placed_at, note "
            "FROM purchase WHERE id <= ?",
            (orders,),
        )
    for number in range(orders // 100):
        (state / f"data/uploads/2026-11/day-{day:02d}-{number:02d}.jpg").write_bytes(os.urandom(50_000))


@contextmanager
def browser(url: str) -> Iterator[Page]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(CHROMIUM_OPTIONS))
        page = chromium.new_page(viewport={"width": 1200, "height": 800}, base_url=url)
        page.set_default_timeout(120_000)
        yield page
        chromium.close()


def picture(page: Page, name: str) -> None:
    page.wait_for_timeout(3_000)  # plots and fonts settle
    page.screenshot(path=ROOT / "docs/images" / f"{name}.png")


def pictures(page: Page) -> None:
    page.goto("/assets/backups/shop?view=partitions")
    captured = DAYS - len(MISSED)
    page.get_by_text(
        re.compile(rf"Materialized \(({captured}|{captured + 1})\)")
    ).wait_for()  # today's, when it is due
    page.goto(
        f"/assets/backups/shop?view=partitions&partition={datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}"
    )
    page.get_by_text("stored_bytes").first.wait_for()
    picture(page, "partitions")
    page.goto("/assets/backups/shop")
    page.get_by_text("Plots", exact=True).click()
    picture(page, "asset")
    page.goto("/assets/backups/shop?view=checks&checkDetail=drill")
    page.get_by_text("drill_s").first.wait_for()
    picture(page, "checks")


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        history(Path(directory) / ".demo")
        try:
            with served(Path(directory)) as server, browser(server.url) as page:
                pictures(page)
        finally:
            server_of(f"{directory}/.demo").remove()


if __name__ == "__main__":
    main()
