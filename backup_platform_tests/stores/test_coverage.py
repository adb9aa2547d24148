"""What a bucket holds beside the repositories of a plan, over HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from backup_platform.domain.coverage import CoverageGap, PlaceCoverage
from backup_platform.stores.remote import open_url
from backup_platform_tests.actions.coverage_support import look
from backup_platform_tests.stores.servers import KEYS, Server

pytestmark = pytest.mark.xdist_group("moto")


@pytest.fixture
def bucket(moto: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """Its URL. Somebody stored things in it."""
    for name, value in KEYS.items():
        monkeypatch.setenv(f"TEST_{name.upper()}", value)
    url = moto.place()
    store = open_url(url, moto.options())
    for key in ("uploads/2026/a", "uploads/b", "exports/c", "backups/main/x", "backups/other/y", "readme"):
        store.create(key, b"content")
    return url


def looked(
    tmp_path: Path, moto: Server, url: str, repository: str = "", exceptions: dict[str, str] | None = None
) -> PlaceCoverage:
    access = moto.plan(url)
    place = {"store": access.pop("path"), **access, "except": exceptions or {}}
    plan = {
        "repository": {**access, "path": repository} if repository else {"path": "repository"},
        "sources": {"tree": {"files": "tree", "every": "day"}},
        "coverage": {"bucket": place},
    }
    [found] = look(tmp_path, yaml.safe_dump(plan)).places
    return found


def names(found: PlaceCoverage) -> list[str]:
    assert all(each.gap is CoverageGap.UNPROTECTED for each in found.findings), found.findings
    return [each.name for each in found.findings]


def test_each_prefix_is_found_and_objects_beside_them_are_one(
    moto: Server, bucket: str, tmp_path: Path
) -> None:
    found = looked(tmp_path, moto, bucket)
    assert names(found) == ["backups", "exports", "uploads", "(objects)"]
    assert "(1 object: readme)" in found.findings[-1].text
    assert found.title == bucket


def test_repositories_of_the_plan_need_no_backup(moto: Server, bucket: str, tmp_path: Path) -> None:
    assert names(looked(tmp_path, moto, bucket, f"{bucket}/backups")) == ["exports", "uploads", "(objects)"]
    deeper = looked(tmp_path, moto, bucket, f"{bucket}/backups/main")
    assert names(deeper) == ["backups/other", "exports", "uploads", "(objects)"]
    assert names(looked(tmp_path, moto, bucket, bucket)) == []


def test_a_part_of_a_bucket(moto: Server, bucket: str, tmp_path: Path) -> None:
    assert names(looked(tmp_path, moto, f"{bucket}/uploads")) == ["2026", "(objects)"]
    assert names(looked(tmp_path, moto, f"{bucket}/backups", f"{bucket}/backups/main")) == ["other"]
    assert names(looked(tmp_path, moto, f"{bucket}/backups/main", f"{bucket}/backups")) == []


def test_exceptions(moto: Server, bucket: str, tmp_path: Path) -> None:
    reasons = {"uploads": "rclone copies them", "exports": "made anew", "backups": "x", "(objects)": "x"}
    found = looked(tmp_path, moto, bucket, exceptions=reasons)
    assert (found.findings, len(found.left_out)) == ((), 4)


def test_a_bucket_that_is_not_there_is_not_empty(moto: Server, bucket: str, tmp_path: Path) -> None:
    [finding] = looked(tmp_path, moto, "s3://not-there-at-all").findings
    assert finding.gap is CoverageGap.NOT_LOOKED


def test_wrong_keys_show_nothing_of_them(
    moto: Server, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEST_SECRET_ACCESS_KEY")
    [finding] = looked(tmp_path, moto, bucket).findings
    assert finding.gap is CoverageGap.NOT_LOOKED
    assert "TEST_SECRET_ACCESS_KEY" in finding.text
    assert KEYS["secret_access_key"] not in repr(finding)
