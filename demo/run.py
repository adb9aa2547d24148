"""The main job from end to end, on this machine alone: `make demo`.

Everything is real: Dagster runs with their event log, a repository on disk, and restores by the command line.
All of it stays in `.demo/` of the working directory.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from demo import data, ledger
from demo.ending import ends_by_signals, undisturbed
from demo.server import STATE, server_of

if TYPE_CHECKING:
    import dagster as dg

    from backup_platform.app import App

PLAN = """\
# Made by `make demo`. One file says what is protected, when, for how long, and who is told.
repositories:
  main:
    path: {repository}
    prune: {{every: day, at: "04:00"}}
    verify: {{cycle: 30d, at: "05:00"}}
  offsite: {{path: {offsite}, place: offsite}}   # a bucket, in earnest: s3://backups/main
state: {state}
sources:
  shop:
    sqlite: {shop}
    every: hour
    keep: {{hourly: 48, daily: 7, weekly: 4}}
    repositories: [main, offsite]
    owners: [team:shop]
    description: Orders and prices of the shop.
  uploads:
    files: {uploads}
    exclude: ["*.tmp"]
    every: hour
    keep: {{hourly: 48, daily: 7}}
    repositories: [main, offsite]
    description: What customers uploaded.
  ledger:
    postgres: {ledger}
    every: hour
    keep: {{hourly: 48, daily: 7, weekly: 4}}
    repositories: [main, offsite]
    assertions: [{agrees}]
    description: Accounts and bookings, in PostgreSQL.
"""
UNUSABLE = '%?"$`\\'  # SQLAlchemy's URLs eat the first two, and PostgreSQL's programs call each other through a shell
SOURCES = ("shop", "uploads", "ledger")
DAGSTER_YAML = """\
telemetry: {enabled: false}
nux: {enabled: false}
concurrency:
  runs:
    max_concurrent_runs: 4
    tag_concurrency_limits:
      - {key: backup/source, value: {applyLimitPerUniqueValue: true}, limit: 1}
      - {key: backup/copy, value: {applyLimitPerUniqueValue: true}, limit: 1}
      - {key: backup/upkeep, value: {applyLimitPerUniqueValue: true}, limit: 1}
run_monitoring: {enabled: true}
run_retries: {enabled: true, retry_on_asset_or_op_failure: false}
sensors: {use_threads: true, num_workers: 4}
schedules: {use_threads: true, num_workers: 4}
"""

console = Console(highlight=False, soft_wrap=True)


@contextmanager
def step(title: str) -> Iterator[None]:
    console.print(f"\n[bold]{title}[/bold]")
    started = time.monotonic()
    yield
    console.print(f"  [dim]{time.monotonic() - started:.1f} s[/dim]")


def write(path: str, text: str) -> str:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def plan_of(repository: str) -> str:
    url = server_of(STATE).url(ledger.DATABASE)
    places = {
        "repository": repository,
        "offsite": f"{STATE}/offsite",
        "state": f"{STATE}/state",
        "shop": f"{STATE}/data/shop.db",
        "uploads": f"{STATE}/data/uploads",
        "ledger": url,
        "agrees": ledger.AGREES,
    }
    return PLAN.format(**{name: json.dumps(text, ensure_ascii=False) for name, text in places.items()})


def prepare(*, small: bool) -> None:
    server = server_of(STATE)
    server.remove()
    data.fresh(STATE)
    for directory in ("data/uploads", "dagster"):
        os.makedirs(os.path.join(STATE, directory))
    purchases, files = (data.SMALL_PURCHASES, data.SMALL_FILES) if small else (data.PURCHASES, data.FILES)
    data.make_shop(os.path.join(STATE, "data/shop.db"), purchases)
    data.make_uploads(os.path.join(STATE, "data/uploads"), files)
    server.create()
    server.start()
    ledger.make_ledger(server, bookings(small=small))
    write(os.path.join(STATE, "dagster/dagster.yaml"), DAGSTER_YAML)
    write(os.path.join(STATE, "backup.yaml"), plan_of(f"{STATE}/repository"))
    os.environ |= environment()


def environment() -> dict[str, str]:
    return {
        "DAGSTER_HOME": f"{STATE}/dagster",
        "BACKUP_PLATFORM_PLAN": f"{STATE}/backup.yaml",
        "DAGSTER_DISABLE_TELEMETRY": "yes",
    }


def bookings(*, small: bool) -> int:
    return ledger.SMALL_BOOKINGS if small else ledger.BOOKINGS


def materialize(
    instance: dg.DagsterInstance, source: str, *, copy: bool = False, force: bool = False
) -> None:
    """One Dagster run: the current window of a source's backup, or the newest one's copy, with the checks."""
    import dagster as dg

    from backup_platform.definitions import app, defs

    backup = dg.AssetKey(["backups", source])
    key = dg.AssetKey(["copies", "offsite", source]) if copy else backup
    checks = {check for check in defs.resolve_asset_graph().asset_check_keys if check.asset_key == key}
    in_place = {dg.AssetCheckKey(backup, "copies_in_place")}
    # A new hour may have begun since the backup, and its window has no recovery point yet.
    newest = (
        app.points.all(source)[-1].window if copy else app.windows.schedule(source).window_of(app.clock.now())
    )
    window = newest.key
    options = {} if copy else {"ops": {key.to_python_identifier(): {"config": {"force": force}}}}
    job = defs.resolve_implicit_global_asset_job_def().get_subset(
        asset_selection={key}, asset_check_selection=checks | in_place if copy else checks - in_place
    )
    result = job.execute_in_process(
        instance=instance,
        partition_key=window,
        run_config={**options, "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        tags={"backup/source": source},
        raise_on_error=False,
    )
    show(window, result)
    if not result.success:
        failures = [event.message or "" for event in result.all_events if event.is_failure]
        sys.exit(f"the run of {source} failed: {'; '.join(failures)}. The UI shows more: make dev")


def show(window: str, result: dg.ExecuteInProcessResult) -> None:
    """The materialisation and the checks, as the event log has them."""
    for event in result.get_asset_materialization_events():
        found, name = event.materialization.metadata, event.materialization.asset_key.to_user_string()
        sizes = {
            label.removesuffix("_bytes"): found[label].value
            for label in ("source_bytes", "new_bytes", "stored_bytes", "copied_bytes")
            if label in found
        }
        told = ", ".join(
            f"{label} {size / 1e6:.1f} MB" for label, size in sizes.items() if isinstance(size, int)
        )
        console.print(f"  {name} window {window}: {told}")
    for evaluation in result.get_asset_check_evaluations():
        mark = "[green]✓[/green]" if evaluation.passed else "[red]✗[/red]"
        console.print(f"    {mark} {evaluation.check_name:16} {evaluation.description}")


def backups(instance: dg.DagsterInstance, *, force: bool = False) -> None:
    for source in SOURCES:
        materialize(instance, source, force=force)


def command(*words: str, plan: str = "") -> int:
    """A verb of the command line, with its output, as a user would call it."""
    console.print(f"  [cyan]$ backup-platform {escape(shlex.join(words))}[/cyan]")
    program = os.path.join(os.path.dirname(sys.executable), "backup-platform")
    arguments = [program, "--plan", plan or os.environ["BACKUP_PLATFORM_PLAN"], *words]
    sys.stdout.flush()
    done = subprocess.run(arguments, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    console.print("\n".join(f"    {line}" for line in done.stdout.rstrip().splitlines()), markup=False)
    return done.returncode


def must(*words: str) -> None:
    if command(*words) != 0:
        sys.exit("the command failed")


def damaged_copy() -> str:
    """A copy of the repository with one flipped byte in its largest pack; its plan."""
    target = os.path.join(STATE, "damaged")
    shutil.copytree(f"{STATE}/repository", f"{target}/repository")
    packs = [
        os.path.join(place, name)
        for place, _, names in os.walk(f"{target}/repository/packs")
        for name in names
    ]
    pack = max(packs, key=os.path.getsize)
    with open(pack, "r+b") as file:
        file.seek(os.path.getsize(pack) // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))
    console.print(f"  flipped one bit in the middle of {os.path.relpath(pack)}")
    return write(f"{target}/backup.yaml", plan_of(f"{target}/repository"))


def catch_damage() -> None:
    """Run the checks of all sources on the damaged copy, in a Dagster instance of its own."""
    import dagster as dg

    from backup_platform.app import App
    from backup_platform.orchestration.build import build_definitions
    from backup_platform.orchestration.translator import BackupTranslator

    app = App.load(damaged_copy())
    definitions = build_definitions(BackupTranslator(app), running=False)
    failed = 0
    for source in SOURCES:
        window = app.points.all(source)[-1].window.key
        with dg.DagsterInstance.ephemeral() as instance:
            result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
                instance=instance,
                partition_key=window,
                asset_selection=[dg.AssetKey(["backups", source])],
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                raise_on_error=False,
            )
            show(window, result)
            failed += sum(not evaluation.passed for evaluation in result.get_asset_check_evaluations())
    if not failed:
        sys.exit("the damage was not seen: this must not happen")


def mend_from_the_copy() -> None:
    """What the night's page says when a check is red: take what is damaged from another repository."""
    plan = f"{STATE}/damaged/backup.yaml"
    for words in (("repair", "--yes"), ("verify",)):
        if command(*words, plan=plan) != 0:
            sys.exit("the command failed")


def restore_with_the_command_line() -> None:
    target = os.path.join(STATE, "restored")
    must("restore", "uploads@latest", "2026-11/new-07.jpg", "--to", f"{target}/one-file")
    must("restore", "shop@latest", "--to", f"{target}/database", "--repository", "offsite")
    with closing(sqlite3.connect(f"{target}/database/shop.db")) as connection:
        verdict = connection.execute("PRAGMA integrity_check").fetchone()[0]
        purchases = connection.execute("SELECT count(*) FROM purchase").fetchone()[0]
    console.print(f"  the restored database: integrity_check says {verdict}, {purchases:,} purchases")


def query_and_restore_the_ledger() -> None:
    """The recovery point answers queries where it is; then it becomes a database again, beside the first one."""
    sql = "SELECT currency, count(*) AS accounts, sum(balance) AS balance FROM account GROUP BY 1 ORDER BY 1"
    must("query", "ledger@latest", sql)
    must("restore", "ledger@latest", "--into", server_of(STATE).url("ledger_restored"), "--create")


def summary(app: App) -> None:
    table = Table(
        title="What is stored, and what of it is proven",
        title_justify="left",
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for name in ("source", "window", "captured", "size MB", "new MB", "stored MB", "proven"):
        table.add_column(name, justify="right" if "MB" in name else "left", no_wrap=True)
    proofs = app.proofs.by_point()
    for point in app.repository.points.all():
        drilled = any(proof.method == "drill" and proof.passed for proof in proofs.get(point.id, []))
        stats = point.stats
        sizes = (f"{value / 1e6:,.1f}" for value in (stats.source_bytes, stats.new_bytes, stats.stored_bytes))
        proven = "[green]by a drill[/green]" if drilled else "no"
        table.add_row(point.source, point.window.key, f"{point.captured_at:%H:%M:%S} UTC", *sizes, proven)
    console.print()
    console.print(table)
    protected = sum(point.stats.source_bytes for point in app.repository.points.all())
    stored = sum(point.stats.stored_bytes for point in app.repository.points.all())
    console.print(
        f"{protected / 1e6:,.0f} MB protected in {stored / 1e6:,.0f} MB: ratio {protected / stored:.1f}."
    )


def main(arguments: list[str]) -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--small", action="store_true", help="a few megabytes instead of 300")
    small = options.parse_args(arguments).small
    with ends_by_signals():
        try:
            show_all(small=small)
        finally:
            with undisturbed():
                server_of(STATE).stop()


def show_all(*, small: bool) -> None:
    if odd := sorted(set(UNUSABLE) & set(STATE)):
        sys.exit(f"{STATE} has {' '.join(odd)} in its path, with which Dagster or PostgreSQL cannot work.")
    started = time.monotonic()
    with step("1. A shop's SQLite database, its customers' files, a ledger in PostgreSQL"):
        prepare(small=small)
    with step("2. An empty repository, and one for copies"):
        must("init")
        must("init", "--repository", "offsite")
    import dagster as dg

    from backup_platform.definitions import app

    with dg.DagsterInstance.get() as instance:
        with step("3. The current window of each source, as Dagster runs"):
            backups(instance)
        with step("4. Business goes on; the same window again, anew"):
            data.change_shop(f"{STATE}/data/shop.db")
            data.change_uploads(f"{STATE}/data/uploads")
            ledger.change_ledger(server_of(STATE), bookings(small=small))
            backups(instance, force=True)
        with step("5. The same recovery points in a second repository"):
            for source in SOURCES:
                materialize(instance, source, copy=True)
    with step("6. Proof from the command line, with Dagster stopped"):
        must("verify")
        must("drill", "ledger@latest")
        must("points")
        must("retention")
    with step("7. Damage is caught, in a duplicate of the repository, and mended from the copy"):
        catch_damage()
        mend_from_the_copy()
    with step("8. Query and restore from the command line; one of them from the copy"):
        restore_with_the_command_line()
        query_and_restore_the_ledger()
    summary(app)
    console.print(
        f"\nDone in {time.monotonic() - started:.0f} s. Open the Dagster UI on this state with [bold]make dev[/bold]:"
    )
    console.print(
        "  http://localhost:3000 → Assets → backups/shop: windows, checks, and plots of sizes over windows."
    )


if __name__ == "__main__":
    main(sys.argv[1:])
