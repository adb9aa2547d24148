"""Object Lock: which objects are retained, until when, against a server that enforces it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backup_platform.errors import StoreError
from backup_platform.stores.opening import open_store
from backup_platform.stores.options import StoreOptions
from backup_platform.stores.remote import retain_until
from backup_platform_tests.stores import servers

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def bucket(seaweed: servers.Server) -> str:
    """Each test has keys of its own in it."""
    return servers.make_bucket(seaweed.endpoint, locked=True).removeprefix("s3://")


@pytest.fixture
def client(seaweed: servers.Server) -> Any:
    return servers.s3_client(seaweed.endpoint, servers.KEYS)


@pytest.mark.xdist_group("seaweed")
class TestLock:
    def test_what_recovery_points_need_is_retained(
        self, seaweed: servers.Server, bucket: str, client: Any
    ) -> None:
        store = open_store(f"s3://{bucket}", seaweed.options(lock=30 * DAY)).store
        for key in ("packs/ab/abcd", "manifests/a/0000000001"):
            store.create(key, b"1")
            head = client.head_object(Bucket=bucket, Key=key)
            left = head["ObjectLockRetainUntilDate"] - datetime.now(UTC)
            assert head["ObjectLockMode"] == "GOVERNANCE"
            assert 30 * DAY < left <= 31 * DAY
            with pytest.raises(Exception, match="AccessDenied"):
                client.delete_object(Bucket=bucket, Key=key, VersionId=head["VersionId"])

    @pytest.mark.parametrize(
        "key", ["tombstones/ab", "ledger/damaged/packs/ab", "ledger/reads/ab", "probe/ab"]
    )
    def test_what_later_steps_delete_is_not(
        self, seaweed: servers.Server, bucket: str, client: Any, key: str
    ) -> None:
        open_store(f"s3://{bucket}", seaweed.options(lock=30 * DAY)).store.create(key, b"1")
        assert "ObjectLockMode" not in client.head_object(Bucket=bucket, Key=key)

    def test_the_date_moves_with_the_clock(self, seaweed: servers.Server, bucket: str, client: Any) -> None:
        """A process that lives for days does not lock for less and less."""
        now = [datetime.now(UTC)]
        store = open_store(f"s3://{bucket}", seaweed.options(lock=2 * DAY, now=lambda: now[0])).store
        dates = []
        for key in ("packs/today", "packs/tomorrow"):
            store.create(key, b"1")
            dates.append(client.head_object(Bucket=bucket, Key=key)["ObjectLockRetainUntilDate"])
            now[0] += DAY
        assert dates[1] - dates[0] == DAY

    def test_a_deletion_hides_and_nothing_more(
        self, seaweed: servers.Server, bucket: str, client: Any
    ) -> None:
        store = open_store(f"s3://{bucket}", seaweed.options(lock=30 * DAY)).store
        store.create("packs/hidden", b"1")
        store.delete("packs/hidden")
        assert "packs/hidden" not in {found.key for found in store.list("packs/")}
        (version,) = client.list_object_versions(Bucket=bucket, Prefix="packs/hidden")["Versions"]
        found = client.get_object(Bucket=bucket, Key="packs/hidden", VersionId=version["VersionId"])
        assert found["Body"].read() == b"1"


@pytest.mark.parametrize("at", ["2026-11-22T00:00:00", "2026-11-22T23:59:59"])
def test_never_less_than_was_asked_for(at: str) -> None:
    now = datetime.fromisoformat(at).replace(tzinfo=UTC)
    until = datetime.fromisoformat(retain_until(StoreOptions(lock=DAY, now=lambda: now)))
    assert DAY < until - now <= 2 * DAY


@pytest.mark.parametrize("url", ["gs://bucket/x", "az://container/x"])
def test_other_stores_do_not_take_it(url: str) -> None:
    """Rather than to promise what does not happen."""
    with pytest.raises(StoreError, match="Object Lock"):
        open_store(url, StoreOptions(lock=DAY, credentials={"account_name": "a"}))
