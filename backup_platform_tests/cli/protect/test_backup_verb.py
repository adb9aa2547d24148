from __future__ import annotations

import pytest

from backup_platform import errors
from backup_platform.kinds import registry
from backup_platform_tests.cli.conftest import Cli
from backup_platform_tests.cli.fake import make_point, make_problems

WHOLE = make_point("shop")
PARTIAL = make_point("uploads", **make_problems(12))
GONE = errors.SourceMissingError("/srv/x is not there.", hint="Is it mounted?")


def test_a_backup_tells_its_numbers(cli: Cli) -> None:
    cli.app.captured["shop"] = WHOLE
    ran = cli("backup", "shop", "--window", "2026-11-22", "--force")
    assert ran.code == 0
    assert cli.app.calls == [("backups.run", {"source": "shop", "window": "2026-11-22", "force": True})]
    assert ran.out.splitlines() == [
        "shop: stored, window 2026-11-22, point 2273686f70aa",
        "  1 file, 104.9 MB source, 3.1 MB new, 1.2 MB stored, dedup 97.0 %",
        "  2.0 s, 52.4 MB/s",
        "  unproven until a drill: backup-platform drill 2273686f70aa",
    ]


def test_a_backup_of_a_database_tells_of_tables_and_not_of_the_files_they_are_stored_as(cli: Cli) -> None:
    cli.app.captured["shop"] = make_point(facts={"tables": 1, "rows": 2000})
    assert "\n  1 table with 2,000 rows, 104.9 MB source," in cli("backup", "shop").out
    cli.app.captured["shop"] = make_point(facts={"tables": 1, "rows": 2000}, kind="postgres")
    cli.app.kinds = registry.every()
    assert "\n  1 table with 2,000 rows, 104.9 MB as Parquet," in cli("backup", "shop").out


def test_the_document_of_a_backup(cli: Cli) -> None:
    cli.app.captured["shop"] = WHOLE
    (result,) = cli("backup", "--json").document["results"]
    assert (result["source"], result["outcome"], result["created"], result["error"]) == (
        "shop",
        "stored",
        True,
        None,
    )
    assert result["point"]["id"] == WHOLE.id
    assert result["point"]["stats"] == {
        "files": 1,
        "source_bytes": 104_857_600,
        "new_bytes": 3_100_000,
        "stored_bytes": 1_200_000,
        "duration_s": 2.0,
        "throughput_mb_s": 52.4288,
        "dedup_ratio": 1 - 3_100_000 / 104_857_600,
    }


def test_an_incomplete_point_is_exit_code_3_and_lists_ten_problems(cli: Cli) -> None:
    cli.app.captured["uploads"] = PARTIAL
    ran = cli("backup", "uploads")
    assert ran.code == 3
    assert ran.out.startswith("uploads: INCOMPLETE, ")
    assert ran.out.count("  vanished: gone/0") == 10
    assert "  and 2 more problems\n" in ran.out
    (result,) = cli("backup", "--json").document["results"]
    assert result["outcome"] == "incomplete"
    assert len(result["point"]["problems"]) == 12


def test_a_window_that_has_its_point_is_kept(cli: Cli) -> None:
    cli.app.captured["shop"] = None
    ran = cli("backup", "shop")
    assert ran.code == 0
    assert (
        ran.out == "shop: kept the point that the window already has, window 2026-11-22, point 2273686f70aa\n"
    )
    assert cli("backup", "--json").document["results"][0]["outcome"] == "kept"


@pytest.mark.parametrize(
    ("backups", "code"),
    [
        ({"a": WHOLE, "b": None}, 0),
        ({"a": WHOLE, "b": PARTIAL}, 3),
        ({"a": PARTIAL, "b": GONE, "c": WHOLE}, 1),
        ({"a": ValueError("a defect"), "b": WHOLE}, 1),
        ({"a": errors.NotFoundError("an object is gone"), "b": PARTIAL}, 1),
        ({}, 0),
    ],
)
def test_of_several_sources_each_is_tried_and_the_worst_decides(
    cli: Cli, backups: dict[str, object], code: int
) -> None:
    cli.app.captured = dict(backups)
    ran = cli("backup")
    assert ran.code == code
    assert [arguments["source"] for _, arguments in cli.app.calls] == list(backups)
    assert len(cli("backup", "--json").document["results"]) == len(backups)


def test_a_failure_among_several_names_its_source(cli: Cli) -> None:
    cli.app.captured = {"old": GONE, "shop": WHOLE}
    ran = cli("backup")
    assert ran.err == "error [source-missing]: old: /srv/x is not there.\nhint: Is it mounted?\n"
    assert ran.out.startswith("old: FAILED\nshop: stored")
    failed, _ = cli("backup", "--json").document["results"]
    assert (failed["outcome"], failed["point"]) == ("failed", None)
    assert failed["error"]["code"] == "source-missing"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.RepositoryMissingError("There is none."), 10),
        (errors.KeyMissingError("No key."), 12),
        (KeyboardInterrupt(), 130),
    ],
)
def test_what_concerns_all_sources_stops_at_once_and_tells_what_was_done(
    cli: Cli, error: BaseException, code: int
) -> None:
    cli.app.captured = {"shop": WHOLE, "old": error, "uploads": WHOLE}
    ran = cli("backup")
    assert ran.code == code
    assert len(cli.app.calls) == 2
    document = cli("backup", "--json").document
    assert [result["source"] for result in document["results"]] == ["shop"]
    assert document["error"]["exit_code"] == code


def test_a_repository_that_cannot_be_reached_for_want_of_a_secret_is_told_once(cli: Cli) -> None:
    cli.app.captured = {"shop": WHOLE, "uploads": WHOLE}
    cli.app.answers["repository"] = errors.PlanError("No such variable.")
    assert (cli("backup").code, cli.app.calls) == (2, [("repository", {})])


def test_a_late_capture_says_so(cli: Cli) -> None:
    cli.app.captured["shop"] = make_point(lateness_s=3_725.0)
    assert "  captured 1 h 02 min after the end of its window\n" in cli("backup").out
