"""Where credentials come from, and that nobody ever sees them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dagster_aws.s3 import S3Resource

from backup_platform.app import App
from backup_platform.errors import BackupError, StoreError, StoreRefusedError
from backup_platform.orchestration.credentials import s3_credentials
from backup_platform.stores.opening import open_store
from backup_platform.stores.options import StoreOptions
from backup_platform_tests.stores.servers import KEYS, Server

SECRET = KEYS["secret_access_key"]


@pytest.fixture(autouse=True)
def _no_ambient_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def works(server: Server, **more: Any) -> bool:
    """Against rclone, which checks signatures."""
    store = open_store(server.place(), server.options(credentials={}, **more)).store
    store.create("packs/ab/abcd", b"1")
    return bytes(store.get("packs/ab/abcd")) == b"1"


def resource(**more: Any) -> S3Resource:
    return S3Resource(aws_access_key_id=KEYS["access_key_id"], aws_secret_access_key=SECRET, **more)


@pytest.mark.xdist_group("rclone")
class TestWhereTheyComeFrom:
    def test_the_environment(self, rclone: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEYS["access_key_id"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        assert works(rclone)

    def test_a_profile_by_boto3(
        self, rclone: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        lines = f"aws_access_key_id = {KEYS['access_key_id']}\naws_secret_access_key = {SECRET}\n"
        (tmp_path / "credentials").write_text(f"[backups]\n{lines}")
        monkeypatch.setenv("AWS_PROFILE", "backups")
        assert works(rclone)

    def test_the_plans_win_over_those_of_the_environment(
        self, rclone: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The token, too: sent along with other keys it would make them invalid."""
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "other")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "other")
        monkeypatch.setenv("AWS_SESSION_TOKEN", "other")
        store = open_store(rclone.place(), rclone.options()).store
        store.create("packs/ab/abcd", b"1")

    def test_a_resource_of_dagster(self, rclone: Server) -> None:
        assert works(rclone, provider=s3_credentials(resource()))

    def test_none(self, rclone: Server) -> None:
        with pytest.raises(StoreRefusedError, match="found no credentials") as caught:
            works(rclone)
        assert not caught.value.retryable

    def test_wrong_ones(self, rclone: Server) -> None:
        store = open_store(
            rclone.place(), rclone.options(credentials={**KEYS, "secret_access_key": "wrong"})
        ).store
        with pytest.raises(StoreRefusedError, match=r"SignatureDoesNotMatch.*Check the access key") as caught:
            store.create("packs/ab/abcd", b"1")
        assert not caught.value.retryable


@pytest.mark.xdist_group("moto")
def test_an_app_takes_those_of_a_dagster_resource(moto: Server, make_app: Callable[..., App]) -> None:
    plan = {**moto.plan(moto.place()), "credentials": {}}
    credentials = s3_credentials(resource(region_name="us-east-1"))
    make_app(plan, credentials=credentials).setup.init()
    assert make_app(plan, credentials=credentials).backups.run("tree").created


def test_neither_boto3_nor_dagster_is_imported_for_keys_of_the_plan() -> None:
    code = """
import sys
from backup_platform.stores.opening import open_store
from backup_platform.stores.options import StoreOptions
keys = {"access_key_id": "a", "secret_access_key": "b"}
open_store("s3://bucket/place", StoreOptions(region="us-east-1", credentials=keys))
print(*({"boto3", "dagster", "dagster_aws", "pandas", "pyarrow"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == ""


HIDDEN = "hunter2-never-shown"


@pytest.mark.parametrize(
    "url",
    [
        f"s3://key:{HIDDEN}@bucket/place",
        f"s3://{HIDDEN}@bucket/place",
        f"az://account:{HIDDEN}@container/place",
        f"https://account.blob.core.windows.net/container?sig={HIDDEN}",
        f"nonsense://x?sig={HIDDEN}",
    ],
)
def test_a_secret_in_a_url_is_never_shown(url: str) -> None:
    try:
        shown = open_store(url, StoreOptions(credentials={"account_key": "AAAA"})).store.location
    except BackupError as error:
        shown = f"{error} {error!r}"
    assert HIDDEN not in shown


def test_credentials_in_the_url_of_a_bucket_are_refused() -> None:
    with pytest.raises(StoreError, match=r"repository\.credentials"):
        open_store("s3://key:secret@bucket/place")


def test_options_do_not_show_credentials() -> None:
    options = StoreOptions(credentials={"secret_access_key": HIDDEN}, provider=lambda: {"token": HIDDEN})
    assert HIDDEN not in repr(options)


@pytest.mark.xdist_group("moto")
def test_what_a_store_says_of_itself_holds_no_secret(moto: Server, caplog: pytest.LogCaptureFixture) -> None:
    store = open_store(moto.place(), moto.options()).store
    store.create("packs/ab/abcd", b"1")
    said = [store.location, repr(store), repr(vars(store)), caplog.text]
    with pytest.raises(BackupError) as caught:
        store.get("packs/ab/none")
    assert not [text for text in [*said, str(caught.value), repr(caught.value.__cause__)] if SECRET in text]
