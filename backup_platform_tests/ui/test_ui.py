"""What a person sees in the Dagster UI, in a real browser, on the state that the demo leaves."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from backup_platform_tests.ui.server import (
    CHROMIUM,
    CHROMIUM_OPTIONS,
    Served,
    database_servers,
    interrupt_demo,
    run_demo,
    served,
)

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("ui"), pytest.mark.timeout(600)]
CHECKS = ("stored", "complete", "authentic", "plausible", "schema_unchanged", "drill")
COPIED = "copies_in_place"  # made by the run of the copy: when a new hour begins, somewhat later
VISIBLE_MS = 60_000


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Served:
    """The demo ran where an interrupted one had been, and wrote nothing outside; nothing serves it yet."""
    directory = tmp_path_factory.mktemp("demo")
    interrupt_demo(directory, "--small")
    printed = run_demo(directory, "--small")
    assert "✗ stored" in printed, "the demo's damage was not caught"
    assert "Open the Dagster UI on this state" in printed
    assert "integrity_check says ok" in printed
    assert database_servers(directory) == []
    assert {entry.name for entry in directory.iterdir()} <= {".demo", "home"}
    home = directory / "home"
    assert not home.exists() or not any(path.is_file() for path in home.rglob("*"))
    return Served("", directory)


@pytest.fixture(scope="module")
def dagster(demo: Served) -> Iterator[Served]:
    with served(demo.state) as server:
        yield server


@pytest.fixture(scope="module")
def browser(dagster: Served) -> Iterator[Page]:
    assert os.path.exists(CHROMIUM), "chromium is missing: .ci/packages lists what the tests need"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=list(CHROMIUM_OPTIONS))
        page = started.new_page(viewport={"width": 1280, "height": 900}, base_url=dagster.url)
        page.set_default_timeout(VISIBLE_MS)
        await_definitions(page)
        yield page
        started.close()


def await_definitions(page: Page) -> None:
    """On a busy machine the page is there long before what it shows."""
    for _ in range(6):
        page.goto("/assets/backups/shop")
        with contextlib.suppress(AssertionError):
            return expect(page.get_by_text("Code location").first).to_be_visible(timeout=VISIBLE_MS / 2)
    raise AssertionError("the code location was not loaded")


def await_text(page: Page, text: str) -> None:
    """The metadata of a page that was open before the run are not always fetched again."""
    for _ in range(6):
        with contextlib.suppress(AssertionError):
            return expect(page.get_by_text(text).first).to_be_visible(timeout=VISIBLE_MS / 6)
        page.reload()
    raise AssertionError(f"{text} does not appear")


def sees(page: Page, text: str) -> None:
    expect(page.get_by_text(text, exact=False).first).to_be_visible(timeout=VISIBLE_MS)


def test_the_asset_says_what_is_protected_and_what_was_stored(browser: Page) -> None:
    browser.goto("/assets/backups/shop")
    for text in ("Orders and prices of the shop.", "recovery_point", "source_bytes", "manifest"):
        sees(browser, text)
    sees(browser, "missed_windows")


def test_the_open_window_is_a_green_partition(browser: Page) -> None:
    browser.goto("/assets/backups/uploads?view=partitions")
    # A new hour may begin while the tests run; the daemon then captures its window, too.
    expect(browser.get_by_text(re.compile(r"Materialized \([12]\)")).first).to_be_visible(timeout=VISIBLE_MS)


@pytest.mark.parametrize("name", [*CHECKS, COPIED])
def test_every_check_is_evaluated_for_the_window(browser: Page, name: str) -> None:
    browser.goto(f"/assets/backups/shop?view=checks&checkDetail={name}")
    sees(browser, name)


def test_schedules_and_sensors_are_there(browser: Page) -> None:
    browser.goto("/automation")
    for name in ("missed_windows", "alerts", "backup_hour"):
        sees(browser, name)


def ask(server: Served, query: str, **variables: Any) -> Any:
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(
        f"{server.url}/graphql", data=body, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        answer = json.load(response)
    assert "errors" not in answer, answer
    return answer["data"]


def test_the_code_location_loads_without_a_complaint(dagster: Served) -> None:
    data = ask(
        dagster,
        """{workspaceOrError {... on Workspace {locationEntries {
             name loadStatus locationOrLoadError {__typename ... on PythonError {message}}}}}}""",
    )
    (entry,) = data["workspaceOrError"]["locationEntries"]
    assert (entry["name"], entry["locationOrLoadError"]["__typename"]) == (
        "backup_platform",
        "RepositoryLocation",
    )
    log = (dagster.state.parent / "dev.log").read_text()
    assert "Traceback" not in log


def test_lineage_leads_to_what_is_protected(dagster: Served) -> None:
    data = ask(
        dagster,
        "query ($key: AssetKeyInput!) {assetNodeOrError(assetKey: $key) {... on AssetNode {dependencyKeys {path}}}}",
        key={"path": ["backups", "shop"]},
    )
    assert data["assetNodeOrError"]["dependencyKeys"] == [{"path": ["sources", "sqlite", "shop"]}]


def test_the_evaluations_of_the_window_are_all_green(dagster: Served) -> None:
    data = ask(
        dagster,
        """query ($key: AssetKeyInput!) {assetNodeOrError(assetKey: $key) {... on AssetNode {
             assetChecksOrError {... on AssetChecks {checks {name
               executionForLatestMaterialization {status evaluation {success partition}}}}}}}}""",
        key={"path": ["backups", "shop"]},
    )
    checks = data["assetNodeOrError"]["assetChecksOrError"]["checks"]
    found = {check["name"]: check["executionForLatestMaterialization"] for check in checks}
    assert found.keys() == {*CHECKS, COPIED}
    assert {name for name in CHECKS if found[name]["evaluation"]["success"]} == set(CHECKS)


def test_a_person_materialises_the_open_window(browser: Page, dagster: Served) -> None:
    """By clicking, launched by the real launcher: verified and kept, or captured when a new hour began."""
    before = runs_of(dagster, "uploads").keys()
    browser.goto("/assets/backups/uploads?view=partitions")
    browser.get_by_role("button", name="Materialize").first.click()
    dialog = browser.locator(".bp5-dialog")
    dialog.get_by_text("Latest", exact=True).click()
    dialog.get_by_role("button", name="Launch").click()
    deadline = time.monotonic() + 120
    new: dict[str, str] = {}
    while time.monotonic() < deadline:
        new = {run: status for run, status in runs_of(dagster, "uploads").items() if run not in before}
        if "SUCCESS" in new.values():
            return
        time.sleep(1)
    raise AssertionError(f"no run of the person's succeeded: {new}")


def test_a_person_prunes_a_repository_and_sees_why_each_point_stays(browser: Page) -> None:
    browser.goto("/assets/repositories/main/prune")
    browser.get_by_role("button", name="Materialize").first.click()
    await_text(browser, "forgotten_points")
    for text in ("Latest materialization", "freed_bytes", "keep: newest of hour 1"):
        sees(browser, text)


def test_the_copy_of_the_window_is_made_and_checked(browser: Page) -> None:
    """By the sensor, in a run of its own."""
    browser.goto("/assets/copies/offsite/uploads?view=partitions")
    expect(browser.get_by_text(re.compile(r"Materialized \([12]\)")).first).to_be_visible(
        timeout=3 * VISIBLE_MS
    )
    browser.goto("/assets/backups/uploads?view=checks&checkDetail=copies_in_place")
    sees(browser, "in main, offsite")


def runs_of(server: Served, source: str) -> dict[str, str]:
    """States of the newest runs of a source."""
    data = ask(
        server, "{runsOrError(limit: 20) {... on Runs {results {runId status assetSelection {path}}}}}"
    )
    return {
        run["runId"]: run["status"]
        for run in data["runsOrError"]["results"]
        if {"path": ["backups", source]} in (run["assetSelection"] or [])
    }
