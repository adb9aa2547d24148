"""The plan: what it accepts, and what it says of every way to get it wrong."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time as clock
from datetime import date, datetime, time, timedelta
from pathlib import Path

import dagster as dg
import pytest
from cronsim import CronSim
from dagster._utils.schedules import is_valid_cron_string
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from backup_platform.app import App
from backup_platform.clock import SystemClock
from backup_platform.domain.incidents.policy import AlertPolicy, QuietHours
from backup_platform.domain.keep.retention import KeepRules
from backup_platform.errors import NotFoundError, PlanError
from backup_platform.plan import KeepConfig, Plan, SourceConfig
from backup_platform.plan.schema import json_schema
from backup_platform.plan.source import source_model
from backup_platform.plan.values import parse_duration, show_duration
from backup_platform.sources.files.kind import FilesConfig
from backup_platform.sources.postgres.kind import PostgresConfig
from backup_platform.sources.sqlite.kind import SqliteConfig
from backup_platform.wiring import repository_keys

FULL = """
repository: {path: backups, compression: 5}
since: 2026-01-01
state: state
sources:
  shop:
    sqlite: data/shop.db
    every: day
    at: "02:15"
    timezone: Europe/Berlin
    late_limit: 2h
    keep: {daily: 7, weekly: 4, within: 2w}
    lock_timeout: 1min
    drill: weekly
    verify: 10%
    owners: [team:data, ops@example.org]
    tags: {tier: "1"}
    description: The shop's orders
    max_runtime: 1h30min
    retries: 5
  uploads:
    files: /srv/uploads
    cron: 15 2 * * mon-fri
    exclude: ["*.tmp"]
    one_file_system: true
    exclude_caches: yes
alerts:
  - json://localhost:9000/hook
  - mailtos://backup:${env:MAIL_PASSWORD}@example.org
"""

LEDGER = """
repository: {path: backups}
sources:
  ledger:
    postgres: postgresql://backup@db.example.org/ledger?sslmode=verify-full
    password: ${file:ledger.password}
    every: hour
    jobs: 4
    lock_timeout: 2min
    include: [public.*, audit.*]
    exclude: ["*_log"]
    unlogged: no
    facts: sampled
    bin_dir: /usr/lib/postgresql/18/bin
    drill_server: postgresql://drill:${env:DRILL_PASSWORD}@scratch/postgres
    assertions: ["select sum(amount) = 0 from booking"]
"""

SEVERAL = """
repositories:
  main:
    path: backups
    key_file: repository.key
    verify: {cycle: 4w, at: "05:30"}
    prune: {every: week, at: "04:00", grace: 2d, max_waste: 25%}
  offsite:
    path: s3://bucket/backups
    place: eu-central-1
    keep: {monthly: 12, min_points: 3, min_proven: 2}
sources:
  shop:
    sqlite: data/shop.db
    every: day
    keep: {daily: 7}
    repositories: [main, offsite]
    copies: {number: 2, places: 2, within: 2d}
"""
HEAD = "repository: {path: /backups}\nsources:\n"


def write(directory: Path, text: str) -> str:
    path = directory / "backup.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def load(directory: Path, text: str) -> Plan:
    return Plan.load(write(directory, text))


def problems(directory: Path, text: str) -> list[str]:
    """What is wrong with a plan, as `line: message`."""
    path = write(directory, text)
    with pytest.raises(PlanError) as caught:
        Plan.load(path)
    lines = caught.value.message.split("\n")
    assert all(line.startswith(f"{path}:") for line in lines)
    return [line.removeprefix(f"{path}:") for line in lines]


def source_problems(directory: Path, source: str) -> list[str]:
    """What is wrong with a source, which stands in line 3."""
    return problems(directory, f"{HEAD}  shop: {{{source}}}\n")


class TestAGoodPlan:
    def test_every_key_arrives(self, tmp_path: Path) -> None:
        plan = load(tmp_path, FULL)
        shop, uploads = plan.sources["shop"], plan.sources["uploads"]
        assert plan.repository.compression == 5
        assert plan.since == date(2026, 1, 1)
        assert (shop.kind, uploads.kind) == ("sqlite", "files")
        assert shop.cadence.name == "day"
        assert shop.at == time(2, 15)
        assert shop.late_limit == timedelta(hours=2)
        assert shop.keep == KeepConfig(daily=7, weekly=4, within=timedelta(weeks=2))
        assert isinstance(shop, SqliteConfig)
        assert shop.lock_timeout == timedelta(minutes=1)
        assert shop.verify_share == 0.1
        assert shop.max_runtime == timedelta(minutes=90)
        assert uploads.cadence.is_cron
        assert uploads.cadence.cron == "15 2 * * mon-fri"
        assert isinstance(uploads, FilesConfig)
        assert uploads.exclude_caches is True
        assert uploads.location == "/srv/uploads"

    def test_every_key_of_a_database_arrives(self, tmp_path: Path) -> None:
        ledger = load(tmp_path, LEDGER).sources["ledger"]
        assert isinstance(ledger, PostgresConfig)
        assert (ledger.kind, ledger.jobs, ledger.facts, ledger.unlogged) == ("postgres", 4, "sampled", False)
        assert ledger.location == "postgresql://backup@db.example.org/ledger?sslmode=verify-full"
        assert ledger.password == "${file:ledger.password}"
        assert ledger.lock_timeout == timedelta(minutes=2)
        assert (ledger.include, ledger.exclude) == (["public.*", "audit.*"], ["*_log"])
        assert ledger.bin_dir == "/usr/lib/postgresql/18/bin"
        assert ledger.drill_server == "postgresql://drill:${env:DRILL_PASSWORD}@scratch/postgres"
        assert ledger.assertions == ["select sum(amount) = 0 from booking"]

    def test_defaults(self, tmp_path: Path) -> None:
        source = load(tmp_path, HEAD + "  a: {files: /srv, every: hour}\n").sources["a"]
        assert (source.timezone, source.drill, source.verify_share) == ("UTC", "window", 1.0)
        assert source.late_limit == timedelta(0)
        assert (source.max_runtime, source.retries) == (timedelta(hours=6), 3)
        assert source.keep is None
        database = load(tmp_path, HEAD + "  a: {sqlite: /srv/a.db, every: hour}\n").sources["a"]
        assert isinstance(database, SqliteConfig)
        assert database.lock_timeout == timedelta(seconds=30)

    @pytest.mark.parametrize("written", ["service=shop", "service = shop", "postgresql:///?service=shop"])
    def test_a_database_may_be_a_service(self, tmp_path: Path, written: str) -> None:
        source = load(tmp_path, HEAD + f'  a: {{postgres: "{written}", every: hour}}\n').sources["a"]
        assert source.location == "postgresql:///?service=shop"

    def test_relative_paths_start_at_the_plan(self, tmp_path: Path) -> None:
        plan = load(tmp_path, FULL)
        assert plan.repository.path == str(tmp_path / "backups")
        assert plan.sources["shop"].location == str(tmp_path / "data/shop.db")
        assert plan.state == str(tmp_path / "state")

    def test_the_home_directory_is_expanded(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", "/home/me")
        assert load(tmp_path, FULL.replace("backups", "~/backups")).repository.path == "/home/me/backups"

    def test_a_url_is_left_as_it_is(self, tmp_path: Path) -> None:
        assert load(tmp_path, FULL.replace("backups", "s3://bucket/x")).repository.path == "s3://bucket/x"

    def test_models_cannot_be_changed(self, tmp_path: Path) -> None:
        plan = load(tmp_path, FULL)
        with pytest.raises(ValidationError):
            plan.since = None
        with pytest.raises(ValidationError):
            plan.sources["shop"].retries = 1

    def test_a_dump_is_a_plan_again(self, tmp_path: Path) -> None:
        plan = load(tmp_path, FULL)
        again = load(tmp_path, json.dumps(plan.model_dump(mode="json", exclude_unset=True)))
        assert again == plan

    def test_aliases_and_merges(self, tmp_path: Path) -> None:
        plan = load(
            tmp_path,
            HEAD + "  a: &a {files: /a, every: hour, keep: &k {last: 3}}\n"
            "  b: {<<: *a, files: /b}\n  c: {files: /c, every: day, keep: *k}\n",
        )
        assert plan.sources["b"].location == "/b"
        assert plan.sources["b"].every == "hour"
        assert plan.sources["c"].keep == KeepConfig(last=3)

    def test_words_that_yaml_takes_for_booleans_stay_words(self, tmp_path: Path) -> None:
        plan = load(tmp_path, HEAD + "  on: {files: /a, every: hour, description: no, exclude: [off]}\n")
        assert plan.sources["on"].description == "no"
        source = plan.sources["on"]
        assert isinstance(source, FilesConfig)
        assert source.exclude == ["off"]

    def test_from_plain_data(self) -> None:
        data = {"repository": {"path": "r"}, "sources": {"a": {"files": "x", "every": "day"}}}
        plan = Plan.from_mapping(data, base="/etc/plans")
        assert plan.sources["a"].location == "/etc/plans/x"

    def test_a_byte_order_mark_is_skipped(self, tmp_path: Path) -> None:
        assert load(tmp_path, "\ufeff" + FULL.lstrip()).since == date(2026, 1, 1)

    def test_tags_and_owners_are_such_that_dagster_takes_them(self, tmp_path: Path) -> None:
        source = load(tmp_path, FULL).sources["shop"]
        spec = dg.AssetSpec("shop", owners=source.owners, tags=source.tags)
        assert list(spec.owners) == source.owners


@given(st.text(alphabet="0123456789*,/-", min_size=1, max_size=6), st.sampled_from(range(5)))
def test_a_cron_that_the_plan_takes_is_one_for_dagster_too(field: str, place: int) -> None:
    fields = ["0", "0", "*", "*", "*"]
    fields[place] = field
    cron = " ".join(fields)
    try:
        source = source_model("files").model_validate({"files": "/a", "cron": cron})
    except ValidationError:
        return
    assert source.cron == cron
    assert is_valid_cron_string(cron)
    start = datetime(2026, 1, 1)
    definition = dg.TimeWindowPartitionsDefinition(
        start=start, cron_schedule=cron, fmt="%Y-%m-%dT%H:%M", end=datetime(2027, 6, 1)
    )
    first = definition.get_first_partition_window()
    assert first is not None
    assert first.start.replace(tzinfo=None) == next(CronSim(cron, start - timedelta(seconds=1)))


@given(st.timedeltas(timedelta(0), timedelta(days=4000)))
def test_durations_are_read_back(value: timedelta) -> None:
    whole = timedelta(seconds=int(value.total_seconds()))
    assert parse_duration(show_duration(whole)) == whole


class TestSecrets:
    def test_references_are_looked_up_when_asked_for_and_shown_never(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "token").write_text("from-file\n")
        monkeypatch.setenv("MAIL_PASSWORD", "hunter2")
        plan = load(tmp_path, FULL + "  - json://${env:MAIL_PASSWORD}.${file:token}/x\n")
        assert [plan.secret(alert) for alert in plan.alerts[1:]] == [
            "mailtos://backup:hunter2@example.org",
            "json://hunter2.from-file/x",
        ]
        shown = repr(plan) + str(plan.model_dump()) + plan.model_dump_json()
        assert "hunter2" not in shown
        assert "from-file" not in shown
        assert "${env:MAIL_PASSWORD}" in shown
        assert plan.references() == ["${env:MAIL_PASSWORD}", "${file:token}"]
        assert plan.unresolved() == []

    def test_missing_ones_are_no_matter_until_they_are_needed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("MAIL_PASSWORD", raising=False)
        plan = load(tmp_path, FULL + "  - json://${file:nowhere}/x\n")
        first, second = plan.unresolved()
        assert "MAIL_PASSWORD" in first.message
        assert "not set" in first.message
        assert str(tmp_path / "nowhere") in second.message
        with pytest.raises(PlanError, match="not set"):
            plan.secret(plan.alerts[1])

    def test_a_file_of_bytes_is_no_secret(self, tmp_path: Path) -> None:
        (tmp_path / "key").write_bytes(b"\xff")
        with pytest.raises(PlanError, match="not UTF-8"):
            load(tmp_path, FULL).secret("${file:key}")

    def test_a_file_without_an_end_is_no_secret(self, tmp_path: Path) -> None:
        with pytest.raises(PlanError, match="too long for a secret"):
            load(tmp_path, FULL).secret("${file:/dev/zero}")

    def test_paths_may_refer_too(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WHERE", "data")
        plan = load(tmp_path, HEAD + '  a: {files: "${env:WHERE}/a", every: day}\n')
        assert plan.sources["a"].location == "${env:WHERE}/a"
        assert plan.path(plan.sources["a"].location) == str(tmp_path / "data/a")
        monkeypatch.setenv("WHERE", "/absolute")
        assert plan.path(plan.sources["a"].location) == "/absolute/a"

    @pytest.mark.parametrize(
        "url",
        [
            "mailtos://me:hunter2@example.org",
            "json://me:hunter2${env:X}@example.org",
            "pover://me@hunter2hunter2hunter2x@host",
            "slack://hunter2hunter2hunter2@T1/T2",
            "json://example.org/?password=hunter2",
            "json://example.org/?a=b&token=hunter2",
        ],
    )
    @pytest.mark.parametrize("where", ["alerts: ['{}']", "repository: {{path: '{}'}}"])
    def test_a_url_with_the_secret_in_it_is_refused_and_not_shown(
        self, tmp_path: Path, url: str, where: str
    ) -> None:
        if url.startswith("pover"):
            url = url.replace("me@", "me:")
        text = "sources: {a: {files: /a, every: day}}\n" + where.format(url)
        text += "" if where.startswith("repository") else "\nrepository: {path: /x}"
        (found,) = problems(tmp_path, text)
        assert "refer to it, as in ${env:NAME}" in found
        assert "hunter2" not in found

    @pytest.mark.parametrize(
        "url",
        [
            "json://localhost:9000/hook",
            "mailto://example.org?to=ops@example.org",
            "mailtos://backup@example.org",
            "mailtos://backup:${env:P}@example.org",
            "slack://${file:secrets/slack}@T1/T2",
            "json://example.org/?token=${env:T}",
            "${file:alert-url}",
        ],
    )
    def test_a_url_without_one_is_fine(self, tmp_path: Path, url: str) -> None:
        assert load(tmp_path, f"{HEAD}  a: {{files: /a, every: day}}\nalerts: ['{url}']\n").alerts == [url]

    def test_an_alert_is_a_url(self, tmp_path: Path) -> None:
        (found,) = problems(tmp_path, f"{HEAD}  a: {{files: /a, every: day}}\nalerts: [me@example.org]\n")
        assert found.startswith("4: alerts[1]: not the URL of a channel")

    def test_a_validation_error_does_not_show_values(self) -> None:
        with pytest.raises(ValidationError) as caught:
            Plan.from_mapping({"repository": {"path": "/x"}, "alerts": ["json://me:hunter2@h"]}, base="/")
        assert "hunter2" not in str(caught.value)


def test_the_json_schema_knows_every_key() -> None:
    schema = json_schema()
    assert set(schema["properties"]) == {field.alias or name for name, field in Plan.model_fields.items()}
    assert schema["additionalProperties"] is False
    assert set(schema["$defs"]["FilesSource"]["properties"]) == {
        *SourceConfig.model_fields,
        *FilesConfig.model_fields,
    }


LOADED = """
import json, sys
import backup_platform.plan
heavy = {"pyarrow", "pandas", "dagster", "cronsim", "obstore", "zstandard", "rich", "typer"}
print(json.dumps(sorted(heavy & {name.partition(".")[0] for name in sys.modules})))
"""


def test_importing_it_loads_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_twenty_sources_load_quickly(tmp_path: Path) -> None:
    lines = [
        f'  s{n}: {{files: /srv/{n}, every: day, at: "02:15", timezone: Europe/Berlin, keep: {{daily: 7}}}}\n'
        for n in range(20)
    ]
    path = write(tmp_path, HEAD + "".join(lines))
    gc.collect()
    before = clock.thread_time()
    assert len(Plan.load(path).sources) == 20
    assert clock.thread_time() - before < 0.5


class TestRepositories:
    def test_a_single_one_is_called_main(self, tmp_path: Path) -> None:
        plan = load(tmp_path, FULL)
        assert list(plan.repositories) == ["main"]
        assert plan.repositories["main"] is plan.repository
        assert plan.copies_of("shop") == []

    def test_the_first_is_written_to(self, tmp_path: Path) -> None:
        plan = load(tmp_path, SEVERAL)
        assert plan.repository is plan.repositories["main"]
        assert plan.copies_of("shop") == ["offsite"]
        assert plan.known_repository(None) == "main"
        assert plan.repository.prune is not None
        assert plan.repository.prune.grace == timedelta(days=2)
        with pytest.raises(NotFoundError, match="no repository 'x'"):
            plan.known_repository("x")

    def test_a_dump_is_a_plan_again(self, tmp_path: Path) -> None:
        plan = load(tmp_path, SEVERAL)
        shown = plan.model_dump(mode="json", exclude_unset=True)
        assert Plan.from_mapping(shown, base=str(tmp_path)) == plan

    def test_a_copy_needs_no_key_of_its_own(self, tmp_path: Path) -> None:
        plan = load(tmp_path, SEVERAL)
        keys = repository_keys(plan, plan.repositories["offsite"])
        assert keys.key is not None

    def test_its_own_rules_take_the_place_of_the_sources(self, tmp_path: Path) -> None:
        plan = load(tmp_path, SEVERAL)
        app = App(plan, str(tmp_path / "backup.yaml"), SystemClock())
        here, there = (app.at(name).maintenance for name in ("main", "offsite"))
        assert here.keep_rules("shop") == KeepRules(daily=7)
        assert there.keep_rules("shop") == KeepRules(monthly=12, min_points=3, min_proven=2)
        assert here.keep_rules("gone") is None
        assert there.keep_rules("gone") is None


@pytest.mark.parametrize("rule", ["number: 3", "places: 3"])
def test_more_copies_than_the_source_has_repositories_are_refused(tmp_path: Path, rule: str) -> None:
    path = tmp_path / "backup.yaml"
    path.write_text(f"""
repositories: {{main: {{path: ./a}}, offsite: {{path: ./b}}}}
sources:
  docs: {{files: ./docs, every: day, repositories: [main, offsite], copies: {{{rule}}}}}
""")
    with pytest.raises(PlanError, match="is 3, and `repositories` of the source names 2"):
        Plan.load(str(path))


def test_alerting_becomes_the_policy_of_alerts(tmp_path: Path) -> None:
    written = '{remind: [30min, 2d], quiet: {begin: "22:00", end: "06:00", timezone: Europe/Berlin}}'
    plan = load(tmp_path, f"{HEAD}  a: {{files: /a, every: day}}\nalerting: {written}\n")
    quiet = QuietHours(time(22), time(6), "Europe/Berlin")
    assert plan.alerting.policy == AlertPolicy((timedelta(minutes=30), timedelta(days=2)), quiet=quiet)
    assert load(tmp_path, f"{HEAD}  a: {{files: /a, every: day}}\n").alerting.policy == AlertPolicy()
    (found,) = problems(
        tmp_path, f"{HEAD}  a: {{files: /a, every: day}}\nalerting: {{dagster: dagster.example.org}}\n"
    )
    assert "alerting.dagster: not the address of a web page" in found
