"""Retentions that are prolonged, against servers with Object Lock; and prune beside them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from backup_platform.app import App
from backup_platform.errors import NotFoundError, StoreError, StoreRefusedError
from backup_platform.repository.records.forgotten import record_forgotten
from backup_platform.stores import object_lock
from backup_platform.stores.opening import open_store
from backup_platform.stores.options import StoreOptions
from backup_platform_tests.stores import servers
from backup_platform_tests.stores.relays import counting
from backup_platform_tests.support import QuietProgress, noise

DAY = timedelta(days=1)


def tomorrow(days: int = 1) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + days * DAY


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Small: what is counted here does not grow with it."""
    root = tmp_path / "tree"
    root.mkdir()
    (root / "large").write_bytes(noise(300_000, 1))
    (root / "other").write_bytes(b"other")
    return root


@pytest.mark.xdist_group("seaweed")
class TestRetaining:
    @pytest.fixture
    def bucket(self, seaweed: servers.Server) -> str:
        return servers.make_bucket(seaweed.endpoint, locked=True)

    def test_it_is_prolonged_and_never_shortened(self, seaweed: servers.Server, bucket: str) -> None:
        opened = open_store(f"{bucket}/some/place", seaweed.options(lock=DAY))
        store, locks = opened.store, opened.capabilities.object_lock
        assert locks
        keys = [f"packs/{n}" for n in range(12)]
        for key in keys:
            store.create(key, b"1")
        until = tomorrow(9)
        locks.retain(keys, until)
        locks.retain(keys[:3], tomorrow(5))
        client = servers.s3_client(seaweed.endpoint, servers.KEYS)
        for key in keys:
            head = client.head_object(Bucket=bucket.removeprefix("s3://"), Key=f"some/place/{key}")
            assert head["ObjectLockRetainUntilDate"] == until

    def test_what_is_not_there_is_told(self, seaweed: servers.Server, bucket: str) -> None:
        locks = open_store(bucket, seaweed.options(lock=DAY)).capabilities.object_lock
        assert locks
        with pytest.raises(NotFoundError, match="packs/none"):
            locks.retain(["packs/none"], tomorrow())

    def test_a_bucket_without_object_lock_is_told(self, seaweed: servers.Server) -> None:
        place = seaweed.place()
        open_store(place, seaweed.options()).store.create("packs/ab", b"1")
        locks = open_store(place, seaweed.options(lock=DAY)).capabilities.object_lock
        assert locks
        with pytest.raises(StoreRefusedError, match="packs/ab") as caught:
            locks.retain(["packs/ab"], tomorrow())
        assert "s3:PutObjectRetention" in caught.value.hint


def test_a_server_that_does_not_answer_may_answer_later() -> None:
    endpoint = f"http://127.0.0.1:{servers.free_port()}"
    options = StoreOptions(
        endpoint=endpoint, region="us-east-1", allow_http=True, credentials=servers.KEYS, lock=DAY
    )
    locks = open_store("s3://bucket", options).capabilities.object_lock
    assert locks
    with pytest.raises(StoreError) as caught:
        locks.retain(["packs/ab"], tomorrow())
    assert caught.value.retryable


def test_without_boto3_it_is_said_before_anything_is_locked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_lock, "find_spec", lambda name: None)
    with pytest.raises(StoreError, match="needs boto3") as caught:
        open_store("s3://bucket", StoreOptions(lock=DAY, credentials=servers.KEYS))
    assert "backup-platform[s3]" in caught.value.hint


def test_stores_without_a_lock_have_nothing_to_prolong(tmp_path: Path) -> None:
    assert open_store("s3://bucket", StoreOptions(credentials=servers.KEYS)).capabilities.object_lock is None
    assert open_store(str(tmp_path), create=True).capabilities.object_lock is None


@pytest.fixture
def place(moto: servers.Server) -> dict[str, Any]:
    """The plan of a repository in a bucket with Object Lock."""
    return {**moto.plan(f"{servers.make_bucket(moto.endpoint, locked=True)}/some"), "lock": "30d"}


def retentions(moto: servers.Server, place: dict[str, Any], prefix: str) -> dict[str, datetime]:
    bucket = place["path"].split("/")[2]
    client = servers.s3_client(moto.endpoint, servers.KEYS)
    found = client.list_objects_v2(Bucket=bucket, Prefix=f"some/{prefix}").get("Contents", [])
    return {
        each["Key"]: client.head_object(Bucket=bucket, Key=each["Key"])["ObjectLockRetainUntilDate"]
        for each in found
    }


@pytest.mark.xdist_group("moto")
def test_later_points_prolong_what_they_share(
    moto: servers.Server, make_app: Callable[..., App], place: dict[str, Any]
) -> None:
    """And between times an unchanged backup takes few requests, as without a lock."""
    make_app(place).setup.init()
    make_app(place).backups.run("tree")
    first = retentions(moto, place, "packs/")
    with counting(moto.endpoint) as counter:
        counted = {**place, "endpoint": counter.endpoint}
        make_app(counted).backups.run("tree")
        counter.requests.clear()
        assert make_app(counted, days=5).backups.run("tree").created
        assert len(counter.requests) < 20, counter.kinds()
    assert retentions(moto, place, "packs/") == first
    make_app(place, days=11).backups.run("tree")
    for prefix in ("packs/", "repository.json", "indexes/"):
        later = retentions(moto, place, prefix)
        assert later
        assert all(
            until >= first_until + 15 * DAY for first_until in first.values() for until in later.values()
        )


@pytest.mark.xdist_group("moto")
def test_prune_hides_what_is_locked_and_its_bytes_stay(
    moto: servers.Server, make_app: Callable[..., App], place: dict[str, Any], tree: Path
) -> None:
    """In a bucket with versions a deletion is a marker: prune ends, and can be undone for as long as the lock says."""
    make_app(place).setup.init()
    make_app(place).backups.run("tree")
    (tree / "large").write_bytes(b"small now")
    kept = make_app(place, days=1).backups.run("tree").point
    app = make_app(place, days=1)
    first = app.repository.points.all()[0]
    record_forgotten(app.repository.objects, first, "for a test", app.clock.now())
    app.repository.points.delete(first)
    for _ in range(3):
        pruning = make_app(place, days=2).maintenance.pruning("0s")
        pruning.run(pruning.plan(), QuietProgress())
    app = make_app(place)
    assert app.proofs.verify().passed
    assert app.points.all("tree")[-1].id == kept.id
    bucket = place["path"].split("/")[2]
    client = servers.s3_client(moto.endpoint, servers.KEYS)
    versions = client.list_object_versions(Bucket=bucket, Prefix="some/packs/")
    hidden = {each["Key"] for each in versions["DeleteMarkers"]}
    assert hidden
    assert hidden <= {each["Key"] for each in versions["Versions"]}
    assert not hidden & retentions(moto, place, "packs/").keys()
