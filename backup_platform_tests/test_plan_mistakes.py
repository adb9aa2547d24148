"""The plan: what it says of every way to get it wrong."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from backup_platform.errors import PlanError
from backup_platform.plan import Plan
from backup_platform_tests.test_plan import HEAD, load, problems, source_problems, write


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
        assert found.startswith('4: unknown key "zzzz"; known are repository, repositories, sources,')

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
            ("a: *nowhere\n", "1", "in quotes"),
            ("exclude: *.tmp\n", "1", "put what begins with * in quotes"),
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
            ("every: day", "has neither `command`, `files`, `postgres` nor `sqlite`"),
            ("files: , every: day", "has neither `command`, `files`, `postgres` nor `sqlite`"),
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
            ("files: /a, cron: 0 0 L * *", "that not all crons understand"),
            ("files: /a, cron: 0 0 * * 1#2", "that not all crons understand"),
            ("files: /a, cron: 0 0 */2 * 1", "read differently"),
            ("files: /a, cron: 0 0 * * 1/6", "in 1/6, give the step a range"),
            ("files: /a, cron: 0 0 31/2 * *", "in 31/2, give the step a range"),
            ("files: /a, cron: 0 0 31 2 *", "is not a cron expression"),
            ("files: /a, cron: 0 0 29 2 *", "leap years"),
            ("files: /a, cron: '0 0 29,30 02 *'", "leap years"),
            ("files: /a, every: day, late_limit: 2hours", 'write one like "30s"'),
            ("files: /a, every: day, late_limit: 5", 'write one like "30s"'),
            ("files: /a, every: day, late_limit: -2h", 'write one like "30s"'),
            ("files: /a, every: day, max_runtime: 0s", "longer than 0"),
            ("files: /a, every: day, rpo: 0s", "longer than 0"),
            ("files: /a, every: day, rto: soon", 'write one like "30s"'),
            ("files: /a, every: day, rpo: 24h", "`rpo: 1d` cannot be kept: with `every: day`"),
            ("files: /a, every: week, rpo: 6d", "up to 7 d old"),
            ("files: /a, every: month, rpo: 4w", "up to 31 d old"),
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
                "`lock_timeout` belongs to sources with `postgres` or `sqlite`",
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
            Plan.from_mapping(
                {
                    "repository": {"path": "/r"},
                    "sources": {"a": {"files": "/a", "sqlite": "/b", "every": "day"}},
                },
                base="/",
            )

    def test_the_file_is_named_relative_to_the_working_directory(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = write(tmp_path, "")
        monkeypatch.chdir(tmp_path)
        with pytest.raises(PlanError, match=r"^backup\.yaml:1: the plan is empty"):
            Plan.load(path)


TWO = "repositories:\n  main: {path: /a}\n  offsite: {path: /b}\nsources:\n  a: {files: /a, every: day, "


class TestObjectives:
    def test_the_plans_default_must_be_kept_by_each_source_without_its_own(self, tmp_path: Path) -> None:
        text = (
            "repository: {path: r}\nrpo: 2h\nsources:\n  a: {files: /a, every: hour}\n  b: {files: /b, every: day}\n"
            "  c: {files: /c, every: day, rpo: 26h}\n  d: {files: /d, cron: 1 2 * * *}\n"
        )
        (found,) = problems(tmp_path, text)
        assert found.startswith("5: sources.b: the plan's `rpo: 2h` cannot be kept: with `every: day`")
        assert found.endswith("or give this source an `rpo`")

    def test_models_refuse_the_same(self) -> None:
        source = {"files": "/a", "every": "day"}
        data = {"repository": {"path": "r"}, "rpo": "2h", "sources": {"a": source}}
        with pytest.raises(ValidationError, match="cannot be kept"):
            Plan.from_mapping(data, base="/")
        assert Plan.from_mapping({**data, "rpo": "26h"}, base="/").rpo == timedelta(hours=26)


class TestRepositories:
    @pytest.mark.parametrize(
        ("names", "message"),
        [
            ("[main, ofsite]", 'there is no repository "ofsite"; there are main, offsite'),
            ("[offsite]", 'must start with "main": backups go to the first repository of the plan'),
            ("[main, offsite, offsite]", "names a repository twice"),
            ("[]", "is empty: write at least one"),
        ],
    )
    def test_names_that_do_not_fit(self, tmp_path: Path, names: str, message: str) -> None:
        (found,) = problems(tmp_path, f"{TWO}repositories: {names}}}\n")
        assert found == f"5: sources.a.repositories: {message}"
        with pytest.raises(ValidationError):
            Plan.from_mapping(
                {
                    "repositories": {"main": {"path": "/a"}, "offsite": {"path": "/b"}},
                    "sources": {
                        "a": {"files": "/a", "every": "day", "repositories": names.strip("[]").split(", ")}
                    },
                },
                base="/",
            )

    def test_one_of_both_keys(self, tmp_path: Path) -> None:
        (found,) = problems(tmp_path, "repository: {path: /c}\n" + TWO + "}\n")
        assert found == "2: repositories: has both `repository` and `repositories`: give one of them"
        (found,) = problems(tmp_path, "sources: {a: {files: /a, every: day}}\n")
        assert found.startswith("1: the key `repository` is missing: ")

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            ("/a", "/a/"),
            ("/a/b/../c", "/a/c"),
            ("file:///a%20b", "'/a b'"),
            ("file://localhost/a", "FILE:///a/"),
            ("here", "./here"),
            ("here", "{plan}/here"),
            ("s3://bucket/x", "S3://bucket/x/"),
            ("'${{env:PLACE}}/x'", "'${{env:PLACE}}/x/'"),
        ],
    )
    def test_two_of_one_place(self, tmp_path: Path, first: str, second: str) -> None:
        paths = [path.format(plan=tmp_path) for path in (first, second)]
        text = "repositories:\n  main: {{path: {}}}\n  offsite: {{path: {}}}\n".format(*paths)
        (found,) = problems(tmp_path, text + "sources: {a: {files: /a, every: day}}\n")
        same = "the same place as that of repositories.main: a copy needs a place of its own"
        assert found == f"3: repositories.offsite.path: {same}"
        named = {name: {"path": path.strip("'")} for name, path in zip("mo", paths, strict=True)}
        with pytest.raises(ValidationError, match="the same place as that of"):
            Plan.from_mapping(
                {"repositories": named, "sources": {"a": {"files": "/a", "every": "day"}}}, base=str(tmp_path)
            )

    @pytest.mark.parametrize(
        ("path", "differs"),
        [
            ("s3://bucket", "endpoint: 'https://there:9000'"),
            ("azure://box", "credentials: {account_name: '${env:OTHER}'}"),
        ],
    )
    def test_one_url_on_two_servers_is_two_places(self, tmp_path: Path, path: str, differs: str) -> None:
        text = f"repositories:\n  main: {{path: {path}}}\n  offsite: {{path: {path}, {differs}}}\n"
        file = tmp_path / "backup.yaml"
        file.write_text(text + "sources: {a: {files: /a, every: day}}\n")
        assert list(Plan.load(str(file)).repositories) == ["main", "offsite"]

    @pytest.mark.parametrize("path", ["s3:/bucket/x", "s3:bucket", "gs:/b", "file:/a"])
    def test_a_url_with_a_slash_too_few_is_no_directory(self, tmp_path: Path, path: str) -> None:
        (found,) = problems(
            tmp_path, f"repository: {{path: {path}}}\nsources: {{a: {{files: /a, every: day}}}}\n"
        )
        assert f"write {path.partition(':')[0]}://" in found

    def test_places_that_only_look_alike(self, tmp_path: Path) -> None:
        paths = ["/a", "/A", "/a/b", "s3://bucket/x", "s3://bucket/X", "gs://bucket/x", "s3://bucket"]
        named = {f"r{n}": {"path": path} for n, path in enumerate(paths)}
        plan = {"repositories": named, "sources": {"a": {"files": "/a", "every": "day"}}}
        assert len(Plan.from_mapping(plan, base=str(tmp_path)).repositories) == len(paths)

    def test_unknown_keys_inside_are_told_with_what_is_near(self, tmp_path: Path) -> None:
        text = "repositories: {main: {path: /a, prune: {grase: 1d}, verfy: {}}}\n"
        found = problems(tmp_path, text + "sources: {a: {files: /a, every: day, copies: {numbr: 2}}}\n")
        assert [line.partition(": ")[2] for line in found] == [
            'repositories.main.prune: unknown key "grase"; did you mean "grace"?',
            'repositories.main: unknown key "verfy"; did you mean "verify"?',
            'sources.a.copies: unknown key "numbr"; did you mean "number"?',
        ]

    @pytest.mark.parametrize(
        ("part", "message"),
        [
            ("place: /", 'main.place: not the name of a place; write one like "office"'),
            ("prune: {max_waste: 10}", "main.prune.max_waste: must be text"),
            ("prune: {max_waste: 0%}", 'main.prune.max_waste: "0%" is not a percentage'),
            ("prune: {every: hour}", 'main.prune.every: "hour" is not one of day, week'),
            ("verify: {cycle: 0}", "main.verify.cycle: must be longer than 0"),
            ("keep: {min_points: 3}", "main.keep: keeps nothing: give at least one of hourly, daily"),
        ],
    )
    def test_values_that_do_not_fit(self, tmp_path: Path, part: str, message: str) -> None:
        text = f"repositories: {{main: {{path: /a, {part}}}}}\nsources: {{a: {{files: /a, every: day}}}}\n"
        (found,) = problems(tmp_path, text)
        assert found.startswith(f"1: repositories.{message}")

    def test_a_name_that_dagster_does_not_take(self, tmp_path: Path) -> None:
        (found,) = problems(tmp_path, TWO.replace("offsite", "off-site") + "}\n")
        assert 'not a repository\'s name: use a-z, 0-9 and _, at most 63 of them, such as "off_site"' in found


@pytest.mark.parametrize("cron", ["1-1 0 * * *", "0 3 5,01-1 * *", "0 3 * * mon-mon"])
def test_a_range_of_one_which_crons_read_differently(tmp_path: Path, cron: str) -> None:
    (found,) = problems(tmp_path, HEAD + f"  a: {{files: /a, cron: '{cron}'}}\n")
    assert "is read differently by different crons" in found


class TestWhatIsNoPlanAtAll:
    """Refused at once: neither waited for, nor read into memory, nor followed until the process ends."""

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (
                "k0: &k0 [x,x,x]\n" + "".join(f"k{n}: &k{n} [{f'*k{n - 1},' * 9}]\n" for n in range(1, 20)),
                "backup.yaml:1: its aliases",
            ),
            ("a: " + "[" * 200_000, "backup.yaml:1: is nested deeper than 50 levels"),
            ("a: " + "[" * 900 + "]" * 900, "is nested deeper"),
            ("".join(f"{' ' * n}a:\n" for n in range(900)), "backup.yaml:51: is nested deeper"),
        ],
    )
    def test_of_a_few_lines(self, tmp_path: Path, text: str, said: str) -> None:
        path = tmp_path / "backup.yaml"
        path.write_text(text)
        with pytest.raises(PlanError, match=said):
            Plan.load(str(path))

    def test_of_another_kind_than_a_file(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        with (tmp_path / "large").open("wb") as file:
            file.truncate(10**12)
        for path, said in {
            tmp_path: "Is a directory",
            tmp_path / "pipe": "is not a file but a pipe",
            Path("/dev/zero"): "is not a file but a device",
            tmp_path / "large": "too large for a plan",
        }.items():
            with pytest.raises(PlanError, match=said):
                Plan.load(str(path))
