"""What a plan says of its store: every key, and every way to get it wrong."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from backup_platform.errors import PlanError
from backup_platform.plan import Plan, RepositoryConfig
from backup_platform.plan.store import parse_rate
from backup_platform.wiring import store_options
from backup_platform_tests.support import ManualClock

SOURCES = "sources: {uploads: {files: /srv, every: day}}\n"
FULL = """
repository:
  path: s3://bucket/prefix
  endpoint: https://s3.example.org
  region: eu-central-1
  path_style: false
  credentials:
    access_key_id: ${env:STORE_KEY}
    secret_access_key: ${file:store.secret}
  write_only: true
  bandwidth: 20MB/s
  storage_class: {packs: STANDARD_IA}
  lock: 30d
  lock_mode: compliance
"""


def load(directory: Path, text: str) -> Plan:
    path = directory / "backup.yaml"
    path.write_text(text + SOURCES)
    return Plan.load(str(path))


def test_every_key_arrives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE_KEY", "key")
    (tmp_path / "store.secret").write_text("hunter2\n")
    plan = load(tmp_path, FULL)
    options = store_options(plan, plan.repository, ManualClock())
    assert (options.endpoint, options.region) == ("https://s3.example.org", "eu-central-1")
    assert (options.path_style, options.allow_http) == (False, False)
    assert options.credentials == {"access_key_id": "key", "secret_access_key": "hunter2"}
    assert (options.write_only, options.single_writer) == (True, False)
    assert options.rate == 20_000_000
    assert options.storage_class == {"packs": "STANDARD_IA"}
    assert (options.lock, options.lock_mode) == (timedelta(days=30), "compliance")
    assert options.now() == ManualClock().now()
    assert "hunter2" not in f"{plan!r} {options!r}"


def test_what_is_left_out_changes_nothing(tmp_path: Path) -> None:
    plan = load(tmp_path, "repository: {path: backups}\n")
    options = store_options(plan, plan.repository, ManualClock())
    assert (options.credentials, options.rate, options.lock, options.endpoint) == ({}, 0, None, "")
    assert not options.single_writer


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("endpoint: s3.example.org", "write one like https://"),
        ("endpoint: 'https://me:hunter2@s3.example.org'", "holds a password"),
        ("credentials: {secret_access_key: hunter2}", "must refer to a secret"),
        ("credentials: {password: '${env:X}'}", "not one of access_key_id"),
        ("bandwidth: 20", "write one like"),
        ("bandwidth: fast", "write one like"),
        ("bandwidth: 0MB/s", "write one like"),
        ("storage_class: {packs: GLACIER}", "cannot be read immediately"),
        ("storage_class: {indexes: STANDARD}", "not one of packs, rest"),
        ("lock: forever", "is not a duration"),
        ("lock_mode: firm", "not one of governance, compliance"),
        ("single_writer: maybe", "must be true or false"),
        ("endpont: x", 'did you mean "endpoint"'),
    ],
)
def test_a_mistake(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(PlanError) as caught:
        load(tmp_path, f"repository:\n  path: s3://bucket\n  {line}\n")
    assert said in caught.value.message
    assert "hunter2" not in caught.value.message


def test_it_is_read_again_as_it_is_shown(tmp_path: Path) -> None:
    plan = load(tmp_path, FULL)
    shown = plan.repository.model_dump(mode="json", exclude_none=True)
    assert RepositoryConfig.model_validate(shown) == plan.repository


@pytest.mark.parametrize(
    ("text", "rate"), [("1B/s", 1), ("500kB/s", 500_000), ("1.5MB/s", 1_500_000), ("2GB/s", 2 * 10**9)]
)
def test_bandwidth(text: str, rate: int) -> None:
    assert parse_rate(text) == rate
