"""What a directory holds that is in no source."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from backup_platform.domain.coverage import CoverageGap, PlaceCoverage
from backup_platform_tests.actions.coverage_support import look


@pytest.fixture
def srv(tmp_path: Path) -> Path:
    for name in ("www", "mail", "app/data", "app/logs", "app/cache"):
        (tmp_path / "srv" / name).mkdir(parents=True)
        (tmp_path / "srv" / name / "file").write_text("content")
    return tmp_path / "srv"


def looked(srv: Path, sources: Sequence[str], place: str = "files: srv") -> PlaceCoverage:
    lines = "".join(f"  s{number}: {{{each}, every: day}}\n" for number, each in enumerate(sources))
    [found] = look(srv.parent, f"sources:\n{lines}coverage: {{place: {{{place}}}}}\n").places
    return found


def names(found: PlaceCoverage) -> list[str]:
    return [each.name for each in found.findings]


def test_directories_beside_those_that_are_protected(srv: Path) -> None:
    assert names(looked(srv, ["files: srv/www"])) == ["app", "mail"]
    assert names(looked(srv, ["files: srv/www", "files: srv/mail/", "files: srv/app"])) == []


def test_a_place_inside_a_source_is_protected(srv: Path) -> None:
    found = looked(srv, ["files: srv"])
    assert (names(found), found.seen, found.protected) == ([], 3, 3)


def test_in_a_directory_that_holds_a_source_those_beside_it_are_found(srv: Path) -> None:
    found = looked(srv, ["files: srv/app/data", "files: srv/www", "files: srv/mail"])
    assert names(found) == ["app/cache", "app/logs"]
    assert found.findings[0].settings == {"files": str(srv / "app" / "cache")}


def test_files_are_one_finding_for_each_directory(srv: Path) -> None:
    for name in ("a", "b", "c", "d"):
        (srv / name).write_text(name)
    [finding] = looked(srv, ["files: srv/www", "files: srv/mail", "files: srv/app"]).findings
    assert finding.name == "(files)"
    assert "(4 files: a, b, c and 1 more)" in finding.text
    everything = ["files: srv/www", "files: srv/mail", "files: srv/app", 'files: srv, exclude: ["*/"]']
    assert names(looked(srv, everything)) == []


def test_a_file_that_is_a_source_is_protected(srv: Path) -> None:
    with closing(sqlite3.connect(srv / "app" / "shop.db")) as database:
        database.execute("CREATE TABLE t (n)")
    found = looked(srv, ["sqlite: srv/app/shop.db", "files: srv/www", "files: srv/mail"])
    assert names(found) == ["app/cache", "app/data", "app/logs"]
    (srv / "app" / "other.db").write_text("")
    assert "app/(files)" in names(
        looked(srv, ["sqlite: srv/app/shop.db", "files: srv/www", "files: srv/mail"])
    )


def test_what_a_source_excludes_is_not_protected_by_it(srv: Path) -> None:
    found = looked(srv, ['files: srv, exclude: ["cache/", "mail"]'], "files: srv/app")
    assert names(found) == ["cache"]
    assert "(excluded by `exclude` of the source s0)" in found.findings[0].text
    assert names(looked(srv, ['files: srv, exclude: ["/app/*"]'], "files: srv/app")) == [
        "cache",
        "data",
        "logs",
    ]
    assert names(looked(srv, ['files: srv, exclude: ["app/"]'], "files: srv/app")) == [
        "cache",
        "data",
        "logs",
    ]


def test_what_lies_on_another_disk_is_not_protected_by_a_source_of_one(srv: Path) -> None:
    """/proc is one everywhere."""
    found = looked(srv, ["files: /, one_file_system: true"], "files: /")
    assert "proc" in names(found)
    assert "proc" not in names(looked(srv, ["files: /"], "files: /"))


def test_a_link_counts_as_what_it_leads_to(srv: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    os.symlink(tmp_path / "elsewhere", srv / "link")
    os.symlink(srv / "www", srv / "again")
    os.symlink(srv, srv / "app" / "loop")
    sources = ["files: srv/www", "files: srv/mail", "files: srv/app/data"]
    found = looked(srv, sources)
    assert names(found) == ["app/cache", "app/logs", "link"]
    assert found.findings[-1].settings == {"files": str(tmp_path / "elsewhere")}
    assert names(looked(srv, [*sources, "files: elsewhere"])) == ["app/cache", "app/logs"]


def test_a_repository_of_the_plan_needs_no_backup(srv: Path, tmp_path: Path) -> None:
    (srv / "mail" / "repository" / "packs").mkdir(parents=True)
    os.remove(srv / "mail" / "file")
    plan = (
        "repository: {path: srv/mail/repository}\nsources:\n  a: {files: srv/www, every: day}\n"
        "  b: {files: srv/app, every: day}\ncoverage: {place: {files: srv}}\n"
    )
    assert look(tmp_path, plan).findings == ()
    (srv / "mail" / "box").mkdir()
    assert [each.name for each in look(tmp_path, plan).findings] == ["mail/box"]


def test_beside_a_source_is_the_directory_that_it_is_in(srv: Path) -> None:
    assert names(looked(srv, ["files: srv/app/data"], "beside: s0")) == ["cache", "logs"]
    assert looked(srv, ["files: srv/app/data/"], "beside: s0").title == str(srv / "app")


def test_a_name_that_is_no_text_has_an_exception_but_no_source(srv: Path) -> None:
    os.mkdir(os.fsencode(srv) + b"/caf\xe9")
    [finding] = looked(srv, ["files: srv/www", "files: srv/mail", "files: srv/app"]).findings
    assert finding.as_source == ""
    assert finding.as_exception.endswith('"caf?": REASON')


def test_what_cannot_be_listed_is_not_empty(srv: Path) -> None:
    for place, why in (("files: nowhere", "does not exist"), ("files: srv/www/file", "is not a directory")):
        [finding] = looked(srv, ["files: srv/www"], place).findings
        assert finding.gap is CoverageGap.NOT_LOOKED
        assert why in finding.text
