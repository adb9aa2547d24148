"""The plan: what it accepts, and what it says of every way to get it wrong."""

from __future__ import annotations

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

from backup_platform.errors import PlanError
from backup_platform.plan import KeepPlan, Plan, SourcePlan, json_schema
from backup_platform.plan.values import parse_duration, show_duration

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
        assert shop.keep == KeepPlan(daily=7, weekly=4, within=timedelta(weeks=2))
        assert shop.lock_timeout == timedelta(minutes=1)
        assert shop.verify_share == 0.1
        assert shop.max_runtime == timedelta(minutes=90)
        assert uploads.cadence.is_cron
        assert uploads.cadence.cron == "15 2 * * mon-fri"
        assert uploads.exclude_caches is True
        assert uploads.location == "/srv/uploads"

    def test_every_key_of_a_database_arrives(self, tmp_path: Path) -> None:
        ledger = load(tmp_path, LEDGER).sources["ledger"]
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
        assert source.lock_timeout == timedelta(seconds=30)
        assert (source.max_runtime, source.retries) == (timedelta(hours=6), 3)
        assert source.keep is None

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
        assert plan.sources["c"].keep == KeepPlan(last=3)

    def test_words_that_yaml_takes_for_booleans_stay_words(self, tmp_path: Path) -> None:
        plan = load(tmp_path, HEAD + "  on: {files: /a, every: hour, description: no, exclude: [off]}\n")
        assert plan.sources["on"].description == "no"
        assert plan.sources["on"].exclude == ["off"]

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


class TestMistakes:
    def test_all_are_listed_with_their_lines_in_order(self, tmp_path: Path) -> None:
        found = problems(
            tmp_path,
            "repositry: {path: /x}\n"
            "sources:\n"
            "  a:\n"
            "    files: /a\n"
            "    evry: hour\n"
            "    keep: {dayly: 7}\n"
            "  b: {files: /b, every: day, at: noon}\n"
            "  b: {}\n",
        )
        assert [line.split(":")[0] for line in found] == ["1", "1", "3", "5", "6", "7", "8"]
        assert found[0].startswith("1: the key `repository` is missing: ")
        assert found[1] == '1: unknown key "repositry"; did you mean "repository"?'
        assert found[2] == "3: sources.a: has neither `every` nor `cron`: say how often, as in `every: day`"
        assert found[3] == '5: sources.a: unknown key "evry"; did you mean "every"?'
        assert found[4] == '6: sources.a.keep: unknown key "dayly"; did you mean "daily"?'
        assert found[5].startswith('7: sources.b.at: "noon" is not a time of day')
        assert found[6] == '8: the key "b" is there twice; first in line 7'

    def test_an_unknown_key_without_a_near_one_lists_all(self, tmp_path: Path) -> None:
        (found,) = problems(tmp_path, HEAD + "  a: {files: /a, every: day}\nzzzz: 1\n")
        assert found.startswith('4: unknown key "zzzz"; known are repository, sources,')

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "the plan is empty"),
            ("# nothing\n", "the plan is empty"),
            ("- a\n", "must be keys and values"),
            ("just words\n", "must be keys and values"),
        ],
    )
    def test_not_a_mapping(self, tmp_path: Path, text: str, message: str) -> None:
        (found,) = problems(tmp_path, text)
        assert message in found
        assert "`sources:`" in found

    @pytest.mark.parametrize("sources", ["", "sources: {}\n", "sources:\n", "sources: []\n"])
    def test_no_sources(self, tmp_path: Path, sources: str) -> None:
        (found,) = problems(tmp_path, "repository: {path: /x}\n" + sources)
        assert "sources" in found

    def test_no_file_says_how_to_write_one(self, tmp_path: Path) -> None:
        with pytest.raises(PlanError, match="there is no plan") as caught:
            Plan.load(str(tmp_path / "backup.yaml"))
        example = caught.value.hint.partition(":\n\n")[2]
        assert load(tmp_path, example).sources

    def test_a_directory_is_not_a_plan(self, tmp_path: Path) -> None:
        with pytest.raises(PlanError, match="cannot be read"):
            Plan.load(str(tmp_path))

    def test_bytes_that_are_not_text(self, tmp_path: Path) -> None:
        (tmp_path / "backup.yaml").write_bytes(b"a: \xff")
        with pytest.raises(PlanError, match="not UTF-8"):
            Plan.load(str(tmp_path / "backup.yaml"))

    @pytest.mark.parametrize(
        ("text", "line", "message"),
        [
            ("a: 1\nb: [1\nc: 2\n", "3", "not valid YAML"),
            ("a:\n\tb: 1\n", "2", "with spaces, not with tabs"),
            ("a: 1\nb: \x01\n", "2", "control character"),
            ("a: 1\n---\nb: 1\n", "2", "not valid YAML"),
            ("a: *nowhere\n", "1", "not valid YAML"),
            ("a: &a [*a]\n", "1", "alias"),
            ("a: !!python/name:os.system\n", "1", "not known"),
            ("a: !x {b: 1}\n", "1", "not known"),
            ("? [a, b]\n: 1\n", "1", "single word"),
            ("a: 1\n<<: 3\n", "2", "merges"),
        ],
    )
    def test_yaml_that_is_wrong(self, tmp_path: Path, text: str, line: str, message: str) -> None:
        found = problems(tmp_path, text)
        assert any(each.startswith(f"{line}: ") and message in each for each in found), found

    @pytest.mark.parametrize("at", ["02:15", "12:15", "12:15:00"])
    def test_a_time_without_quotes_is_refused(self, tmp_path: Path, at: str) -> None:
        (found,) = source_problems(tmp_path, f"files: /a, every: day, at: {at}")
        assert found.startswith(f'3: put {at} in quotes: "{at}"')

    @pytest.mark.parametrize(
        ("source", "expected"),
        [
            ("every: day", "has neither `files`, `sqlite` nor `postgres`"),
            ("files: , every: day", "has neither `files`, `sqlite` nor `postgres`"),
            ("files: /a, sqlite: /b, every: day", "has both `files` and `sqlite`"),
            ("files: /a, every: day, cron: 1 2 * * *", "has both `every` and `cron`"),
            ("files: /a, every: fortnight", "not one of 15min, 30min, hour, 6h, 12h, day, week, month"),
            ("files: /a, every: hourly", 'did you mean "hour"?'),
            ("files: /a, every: day, timezone: Europe/Berln", 'did you mean "Europe/Berlin"?'),
            ("files: /a, every: day, timezone: berlin", 'did you mean "Europe/Berlin"?'),
            ("files: /a, every: day, timezone: europe/berlin", 'did you mean "Europe/Berlin"?'),
            ("files: /a, every: day, timezone: Europe", "is not a time zone"),
            ("files: /a, every: day, timezone: ../x", "is not a time zone"),
            ("files: /a, every: day, timezone: localtime", "is not a time zone"),
            ("files: /a, every: hour, timezone: Australia/Lord_Howe", "moves by less than an hour"),
            ('files: /a, every: day, at: "25:00"', "is not a time of day"),
            ('files: /a, every: hour, at: "02:15"', 'from the start of each window, "00:00" to "00:59"'),
            ('files: /a, cron: 1 2 * * *, at: "02:15"', "write the time into the cron expression"),
            ("files: /a, cron: 61 * * * *", "is not a cron expression: bad minute"),
            ("files: /a, cron: 1 * * *", "it takes five fields"),
            ('files: /a, cron: "@daily"', "it takes five fields"),
            ("files: /a, cron: 0 0 L * *", "that all crons understand"),
            ("files: /a, cron: 0 0 * * 1#2", "that all crons understand"),
            ("files: /a, cron: 0 0 */2 * 1", "read differently"),
            ("files: /a, cron: 0 0 31 2 *", "is not a cron expression"),
            ("files: /a, cron: 0 0 29 2 *", "leap years"),
            ("files: /a, every: day, late_limit: 2hours", 'write one like "30s"'),
            ("files: /a, every: day, late_limit: 5", 'write one like "30s"'),
            ("files: /a, every: day, late_limit: -2h", 'write one like "30s"'),
            ("files: /a, every: day, max_runtime: 0s", "longer than 0"),
            ("files: /a, every: day, late_limit: 99999999999999w", 'write one like "30s"'),
            ("files: /a, every: day, since: 2026-02-30", "there is no day 2026-02-30"),
            ("files: /a, every: day, since: 2026", "is not a date"),
            ("files: /a, every: day, since: yesterday", "is not a date"),
            ("files: /a, every: day, keep: {}", "keeps nothing"),
            ("files: /a, every: day, keep: {daily: -1}", "at least 0"),
            ('files: /a, every: day, keep: {daily: "7"}', "a whole number, without quotes"),
            ("files: /a, every: day, keep: {daily: 010}", "a whole number"),
            ("files: /a, every: day, keep: 7", "must be keys and values"),
            (
                "files: /a, every: day, lock_timeout: 3s",
                "`lock_timeout` belongs to sources with `sqlite` or `postgres`",
            ),
            (
                "sqlite: /a, every: day, exclude: [b]",
                "`exclude` belongs to sources with `files` or `postgres`",
            ),
            ("files: /a, every: day, exclude: b", "must be a list"),
            ("files: /a, every: day, exclude: [7]", 'put it in quotes, as in "7"'),
            ("files: /a, every: day, exclude: ['']", "is empty"),
            ("files: /a, every: day, one_file_system: maybe", "must be true or false"),
            ("files: /a, every: day, drill: dayly", 'did you mean "daily"?'),
            ("files: /a, every: day, verify: 101%", "is not a share"),
            ("files: /a, every: day, verify: 0%", "is not a share"),
            ("files: /a, every: day, verify: 10", 'put it in quotes, as in "10"'),
            ("files: /a, every: day, owners: [joe]", 'neither an e-mail address nor "team:NAME"'),
            ("files: /a, every: day, tags: {a b: c}", "not a tag's key"),
            ("files: /a, every: day, tags: {a: b c}", "not a tag's value"),
            ("files: /a, every: day, tags: {a: 1.10}", 'put 1.10 in quotes: "1.10"'),
            ("files: /a, every: day, retries: -1", "at least 0"),
            ("files: /a, every: day, description: ", "is empty: write a value"),
            ("files: '', every: day", "is empty: write a path"),
            ("files: '/a/${HOME}', every: day", "${HOME} is not a reference; write ${env:NAME}"),
            ("files: '/a/${env:X', every: day", "has no closing }"),
            ("files: /a/${env:X}, every: day", "put what holds ${...} in quotes"),
            ("files: '/a/${env:1X}', every: day", "does not name an environment variable"),
            ("postgres: db/shop, every: day", "write one like postgresql://user@host:5432/database"),
            ("postgres: postgresql://me:hush@db/shop, every: day", "holds a password or token"),
            ("postgres: postgresql://db/shop?password=hush, every: day", "holds a password or token"),
            (
                "postgres: postgresql://db/shop, every: day, password: hush",
                "must refer to a secret, as in ${env:NAME}",
            ),
            ("postgres: postgresql://db/shop, every: day, jobs: 0", "must be at least 1"),
            (
                "postgres: postgresql://db/shop, every: day, facts: some",
                "is not one of full, sampled, counts",
            ),
            (
                "postgres: postgresql://db/shop, every: day, include: [a.b.c]",
                "not a pattern of tables; write one like `audit.*`",
            ),
            (
                "postgres: postgresql://db/shop, every: day, exclude: [a.b.c]",
                '"a.b.c" is not a pattern of tables',
            ),
            (
                "postgres: postgresql://db/shop, every: day, drill_server: db",
                "write one like postgresql://user@host:5432/database",
            ),
            ("postgres: postgresql://db/shop, every: day, assertions: ['']", "is empty"),
            (
                "postgres: postgresql://db/shop, every: day, one_file_system: true",
                "belongs to sources with `files`, not with `postgres`",
            ),
            (
                "sqlite: /a, every: day, jobs: 2",
                "`jobs` belongs to sources with `postgres`, not with `sqlite`",
            ),
        ],
    )
    def test_a_source_that_is_wrong(self, tmp_path: Path, source: str, expected: str) -> None:
        (found,) = source_problems(tmp_path, source)
        assert found.startswith("3: ")
        assert expected in found

    @pytest.mark.parametrize("name", ["Shop", "shop-db", "_shop", "a" * 64, '""', "é"])
    def test_a_source_name_that_is_wrong(self, tmp_path: Path, name: str) -> None:
        (found,) = problems(tmp_path, f"{HEAD}  {name}: {{files: /a, every: day}}\n")
        assert found.startswith("3: ")
        assert "not a source's name" in found

    def test_a_better_source_name_is_offered(self, tmp_path: Path) -> None:
        (found,) = problems(tmp_path, f"{HEAD}  Shop-DB: {{files: /a, every: day}}\n")
        assert found.endswith('such as "shop_db"')

    def test_a_source_without_anything(self, tmp_path: Path) -> None:
        (found,) = problems(tmp_path, f"{HEAD}  shop:\n")
        assert found == "3: sources.shop: is empty: write a value or leave the key out"

    @pytest.mark.parametrize("compression", ["0", "20", "fast", "true"])
    def test_compression(self, tmp_path: Path, compression: str) -> None:
        (found,) = problems(
            tmp_path,
            f"repository: {{path: /x, compression: {compression}}}\n"
            "sources: {a: {files: /a, every: day}}\n",
        )
        assert found.startswith("1: repository.compression: must be ")

    def test_models_refuse_the_same_when_they_are_built_from_data(self) -> None:
        with pytest.raises(ValidationError, match="both `files` and `sqlite`"):
            SourcePlan(files="/a", sqlite="/b", every="day")

    def test_the_file_is_named_relative_to_the_working_directory(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = write(tmp_path, "")
        monkeypatch.chdir(tmp_path)
        with pytest.raises(PlanError, match=r"^backup\.yaml:1: the plan is empty"):
            Plan.load(path)


@given(st.text(alphabet="0123456789*,/-", min_size=1, max_size=6), st.sampled_from(range(5)))
def test_a_cron_that_the_plan_takes_is_one_for_dagster_too(field: str, place: int) -> None:
    fields = ["0", "0", "*", "*", "*"]
    fields[place] = field
    cron = " ".join(fields)
    try:
        source = SourcePlan(files="/a", cron=cron)
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
    assert set(schema["properties"]) == set(Plan.model_fields)
    assert schema["additionalProperties"] is False
    assert set(schema["$defs"]["SourcePlan"]["properties"]) == set(SourcePlan.model_fields)


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
    before = clock.process_time()
    assert len(Plan.load(path).sources) == 20
    assert clock.process_time() - before < 0.5
