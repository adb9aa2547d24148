"""Key files: what is read, what is refused, and that no key shows itself."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from backup_platform.errors import BackupError, KeyMissingError, UsageError
from backup_platform.repository.encryption import bech32
from backup_platform.repository.encryption.key_files import (
    Keys,
    Secret,
    new_repository_key,
    parse_repository_key,
    write_identity,
    write_key_file,
    write_repository_key,
)
from backup_platform_tests.support import IDENTITIES, REPOSITORY_KEY, all_keys, recipient

NOW = datetime(2026, 11, 22, tzinfo=UTC)
KEY_TEXT = bech32.encode("backup-platform-key-", REPOSITORY_KEY).upper()


def key_in(path: Path, text: str = KEY_TEXT, mode: int = 0o600) -> Keys:
    path.write_text(text)
    path.chmod(mode)
    return Keys(key=Secret(str(path)), identity=Secret(str(path)))


def test_a_key_file_is_for_its_owner_only_and_reads_back(tmp_path: Path) -> None:
    path, key = tmp_path / "key", new_repository_key()
    os.umask(previous := os.umask(0))
    write_repository_key(str(path), key, "s3://bucket", NOW)
    os.umask(previous)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Keys(key=Secret(str(path))).repository_key() == key
    assert "s3://bucket" in path.read_text()
    assert len({new_repository_key() for _ in range(10)}) == 10


def test_an_identity_file_is_as_age_keygen_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "identity"
    write_identity(str(path), IDENTITIES[0], recipient(0), NOW)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    lines = path.read_text().splitlines()
    assert lines == ["# created: 2026-11-22T00:00:00+00:00", f"# public key: {recipient(0)}", IDENTITIES[0]]
    assert [each.recipient for each in Keys(identity=Secret(str(path))).identities()] == [recipient(0)]


def test_a_file_of_several_identities(tmp_path: Path) -> None:
    keys = key_in(tmp_path / "identities", "\n".join(["# two", *IDENTITIES[:2], ""]))
    assert [each.recipient for each in keys.identities()] == [recipient(0), recipient(1)]


def test_a_key_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("precious")
    with pytest.raises(UsageError, match="File exists"):
        write_key_file(str(path), "other")
    assert path.read_text() == "precious"
    with pytest.raises(UsageError, match="No such file"):
        write_key_file(str(tmp_path / "none" / "key"), "x")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o602, 0o644, 0o610])
def test_a_file_that_others_may_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    keys = key_in(tmp_path / "key", mode=mode)
    for read in (keys.repository_key, keys.identities):
        with pytest.raises(KeyMissingError, match=f"{mode:04o}"):
            read()


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_file_of_its_owner_is_read(tmp_path: Path, mode: int) -> None:
    assert key_in(tmp_path / "key", mode=mode).repository_key() == REPOSITORY_KEY


def test_a_missing_file_is_a_missing_key_that_is_told_of_when_it_is_needed(tmp_path: Path) -> None:
    keys = Keys(Secret(str(tmp_path / "none")), Secret(str(tmp_path / "gone")))
    assert keys
    assert keys.repository_key() is None
    assert keys.identities() == []
    neither = keys.missing_key("place").message
    assert f"{tmp_path}/none: No such file" in neither
    assert f"{tmp_path}/gone: No such file" in neither, "who mistyped the identity's path is told so"
    error = keys.missing_identity("place", "age1xyz")
    assert f"{tmp_path}/gone: No such file" in error.message
    assert "age1xyz" in error.message
    assert "BACKUP_PLATFORM_IDENTITY_FILE" in error.hint
    assert error.exit_code == 12
    assert "no identity file is named" in Keys().missing_identity("place", "age1xyz").message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing",
        KEY_TEXT[:-1],
        KEY_TEXT + "\n" + KEY_TEXT,
        "hunter2",
        bech32.encode("backup-platform-key-", b"short"),
    ],
)
def test_what_is_no_repository_key(tmp_path: Path, text: str) -> None:
    with pytest.raises(KeyMissingError) as raised:
        key_in(tmp_path / "key", text).repository_key()
    assert "hunter2" not in str(raised.value)
    assert KEY_TEXT[30:50] not in str(raised.value)


@pytest.mark.parametrize("text", ["", "# nothing", IDENTITIES[0][:-2], recipient(0), KEY_TEXT, "\0"])
def test_what_is_no_identity(tmp_path: Path, text: str) -> None:
    with pytest.raises(KeyMissingError) as raised:
        key_in(tmp_path / "key", text).identities()
    assert IDENTITIES[0][20:50] not in str(raised.value)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"\xff\xfe")
    path.chmod(0o600)
    with pytest.raises(KeyMissingError, match="not a text file"):
        Keys(key=Secret(str(path))).repository_key()
    with pytest.raises(KeyMissingError, match="Is a directory"):
        Keys(key=Secret(str(tmp_path))).repository_key()


def test_a_text_behind_a_reference_is_the_key_and_a_path_is_a_path() -> None:
    assert Secret.of(KEY_TEXT, "repository.key_file", str.upper).text == KEY_TEXT
    assert Secret.of("file", "repository.key_file", str.upper) == Secret("FILE")
    assert parse_repository_key(f"# x\n\n {KEY_TEXT} \n", "here") == REPOSITORY_KEY
    absent = Keys(
        identity=Secret("repository.identity_file", problem="${env:X}: the environment variable is not set")
    )
    assert absent.identities() == []
    assert "${env:X}" in absent.missing_identity("place", "age1xyz").message


def test_keys_do_not_show_themselves() -> None:
    from backup_platform.repository.encryption.sealing import Secrets

    shown = repr(all_keys()) + str(all_keys().key) + repr(Secrets.of(REPOSITORY_KEY))
    assert KEY_TEXT[25:40].lower() not in shown.lower()
    assert IDENTITIES[0][25:40].lower() not in shown.lower()
    assert repr(Secrets.of(REPOSITORY_KEY)) == "Secrets()"


def test_an_error_of_keys_is_an_error_of_the_repository() -> None:
    assert issubclass(KeyMissingError, BackupError)
    assert KeyMissingError.exit_code == 12
