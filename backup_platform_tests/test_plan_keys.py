"""Where a plan says that keys are."""

from __future__ import annotations

from pathlib import Path

import pytest

from backup_platform.errors import PlanError
from backup_platform.plan import Plan
from backup_platform.repository.encryption import bech32
from backup_platform.wiring import read_plan
from backup_platform_tests.support import IDENTITIES, recipient


def load(tmp_path: Path, repository: str) -> Plan:
    path = tmp_path / "backup.yaml"
    path.write_text(f"repository: {{path: r, {repository}}}\nsources:\n  a: {{files: /x, every: day}}\n")
    return Plan.load(str(path))


def test_key_files_start_from_the_plan_and_may_be_references(tmp_path: Path) -> None:
    plan = load(tmp_path, 'key_file: keys/repository, identity_file: "${env:IDENTITY}"')
    assert plan.repository.key_file == str(tmp_path / "keys" / "repository")
    assert plan.repository.identity_file == "${env:IDENTITY}"
    assert plan.references() == ["${env:IDENTITY}"]
    assert load(tmp_path, "compression: 3").repository.key_file is None


@pytest.mark.parametrize("key", ["key_file", "identity_file"])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (IDENTITIES[0], "holds a key"),
        (f'"BACKUP-PLATFORM-KEY-1{"Q" * 58}"', "holds a key"),
        ("s3://bucket/key", "is a URL"),
        ('""', "is empty"),
        ("5", "must be"),
        ("[a]", "must be"),
        ('"${vault:x}"', "not a reference"),
    ],
)
def test_what_is_refused_and_never_shown(tmp_path: Path, key: str, value: str, message: str) -> None:
    with pytest.raises(PlanError, match=message) as raised:
        load(tmp_path, f"{key}: {value}")
    assert f"repository.{key}" in str(raised.value)
    assert "backup.yaml:1" in str(raised.value)
    assert IDENTITIES[0][20:50] not in str(raised.value)


@pytest.mark.parametrize("text", ["abc", "0" * 39, "0" * 41, "g" * 40, "5"])
def test_what_is_no_fingerprint(tmp_path: Path, text: str) -> None:
    with pytest.raises(PlanError, match="is not the fingerprint of a repository") as raised:
        load(tmp_path, f'fingerprint: "{text}"')
    assert "repository.fingerprint" in str(raised.value)


@pytest.mark.parametrize(
    "text", ["0123456789" * 4, "01234-56789-" * 3 + "01234-56789", "0123 4567 89AB CDEF 0123 " * 2]
)
def test_a_fingerprint_is_taken_however_it_is_grouped(tmp_path: Path, text: str) -> None:
    found = load(tmp_path, f'fingerprint: "{text}"').repository.fingerprint
    assert found is not None
    assert found.replace("-", "") == text.replace("-", "").replace(" ", "").lower()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("[]", "is empty"),
        ("[age1abc]", "is not a recipient"),
        (f"[{recipient()[:-1]}q]", "checksum"),
        (f"[{recipient()}, {recipient()}]", "twice"),
        (f"[{IDENTITIES[0]}]", "is an identity"),
        (recipient(), "must be"),
        (
            f"[{', '.join(bech32.encode('age', n.to_bytes(32)) for n in range(2, 503))}]",
            "501 are named, and the limit",
        ),
    ],
)
def test_what_are_no_recipients(tmp_path: Path, value: str, message: str) -> None:
    path = tmp_path / "backup.yaml"
    path.write_text(
        f"repository: {{path: r, recipients: {value}}}\nsources:\n  a: {{files: /x, every: day}}\n"
    )
    with pytest.raises(PlanError, match=message) as raised:
        read_plan(str(path))
    assert "repository.recipients" in str(raised.value)
    assert IDENTITIES[0][20:50] not in str(raised.value)
