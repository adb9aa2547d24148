"""A repository is at the very prefix that the plan names, or the plan is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backup_platform.errors import PlanError, StoreError
from backup_platform.plan import Plan
from backup_platform.plan.values import same_place
from backup_platform.stores.opening import open_store
from backup_platform.stores.remote import open_url
from backup_platform_tests.stores.servers import KEYS, Server, s3_client

KEPT = ["a b", "ä", "100%", "a+b", "a&b=c", "a:b@c", "a^b|c", "a[b]{c}", "a\\b", "a;b,c!(d)*'e'"]
DECODED = {"one%23x": "one#x", "c%20d": "c d", "why%3F": "why?"}
CUT = ["one#x", "one?x", "a/../b", "a/./b", "a//b", "/a", "a\tb", "a\nb", "a%2F%2E%2E/%2E%2E/b", " a "]
SCHEMES = ["s3://bucket", "gs://bucket", "az://container", "abfss://c@account.dfs.core.windows.net"]


def load(tmp_path: Path, path: str) -> Plan:
    plan = {"repository": {"path": path}, "sources": {"a": {"files": "a", "every": "day"}}}
    (tmp_path / "backup.yaml").write_text(json.dumps(plan, ensure_ascii=False))
    return Plan.load(str(tmp_path / "backup.yaml"))


@pytest.mark.parametrize("scheme", [*SCHEMES, "file:///srv"])
@pytest.mark.parametrize("prefix", ["one#x", "one?x"])
def test_what_would_be_cut_is_refused_with_the_plan(tmp_path: Path, scheme: str, prefix: str) -> None:
    with pytest.raises(PlanError, match=r"backup.yaml:1: repository.path: holds .* write %"):
        load(tmp_path, f"{scheme}/{prefix}")


@pytest.mark.parametrize("prefix", CUT)
def test_what_a_reference_leads_to_is_refused_when_it_is_opened(prefix: str) -> None:
    with pytest.raises(StoreError, match=r"URL of the store (holds|names)"):
        open_url(f"s3://bucket/{prefix}")


def test_a_directory_by_its_url(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match='names the host "srv": write file:///'):
        load(tmp_path, "file://srv/backups")
    with pytest.raises(StoreError, match="write %23"):
        open_store(f"file://{tmp_path}/a#b", create=True)
    open_store(f"file://{tmp_path}/a%23b%20c", create=True).store.create("k", b"1")
    assert (tmp_path / "a#b c" / "k").read_bytes() == b"1"


@pytest.mark.xdist_group("moto")
def test_everything_else_is_kept(moto: Server, tmp_path: Path) -> None:
    place = moto.place()
    bucket = place.removeprefix("s3://").split("/")[0]
    client = s3_client(moto.endpoint, KEYS)
    for written, meant in {**dict(zip(KEPT, KEPT, strict=True)), **DECODED}.items():
        load(tmp_path, f"{place}/{written}")
        open_url(f"{place}/{written}", moto.options()).create("k", b"1")
        key = f"{place.removeprefix(f's3://{bucket}/')}/{meant}/k"
        assert client.get_object(Bucket=bucket, Key=key)["Body"].read() == b"1"


def test_one_place_has_one_name_however_it_is_written() -> None:
    assert same_place("s3://bucket/a%20b/", "/") == same_place("S3://bucket/a b", "/")
