"""Keys as people keep them: texts, files with strict permissions, and errors that say what is missing and where.

Imports no cryptography: an unencrypted repository does without.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from backup_platform.advice import command, shell
from backup_platform.errors import KeyMissingError, UsageError
from backup_platform.repository.encryption import bech32

if TYPE_CHECKING:
    from backup_platform.repository.encryption.age import Identity

KEY_VARIABLE = "BACKUP_PLATFORM_KEY_FILE"
IDENTITY_VARIABLE = "BACKUP_PLATFORM_IDENTITY_FILE"
KEY_PREFIX, IDENTITY_PREFIX = "backup-platform-key-", "age-secret-key-"
ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.EACCES)


@dataclass(frozen=True, slots=True)
class Secret:
    """Where a key is kept: a file, or a text from a reference in the plan. Never shows the key."""

    origin: str  # the file's path, or what led to the text
    text: str | None = field(default=None, repr=False)
    problem: str = ""  # why the reference leads nowhere on this host

    @classmethod
    def of(cls, value: str, name: str, path: Callable[[str], str]) -> Secret:
        """Made from the value in the plan, with references looked up: a path, or the key itself."""
        return cls(name, value) if holds_key(value) else cls(path(value))

    def find(self) -> tuple[str | None, str]:
        """The key's text, or None and the reason. Raises KeyMissingError for a file that other users can read."""
        if self.text is not None or self.problem:
            return self.text, self.problem
        try:
            with open(self.origin, encoding="utf-8") as file:
                self._refuse_open_to_others(os.fstat(file.fileno()).st_mode)
                return file.read(), ""
        except UnicodeDecodeError:
            raise KeyMissingError(f"{self.origin} is not a text file, so it is not a key file.") from None
        except OSError as error:
            if error.errno not in ABSENT:
                raise KeyMissingError(
                    f"The key file {self.origin} cannot be read: {error.strerror}."
                ) from error
            return None, f"{self.origin}: {error.strerror}"

    def _refuse_open_to_others(self, mode: int) -> None:
        if stat.S_IMODE(mode) & 0o077:
            raise KeyMissingError(
                f"The key file {self.origin} can be read or changed by users other than its owner (mode "
                f"{stat.S_IMODE(mode):04o}), so it is refused.",
                hint=("Run ", shell("chmod", "600", self.origin), ", and think about who may have read it."),
            )


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys that this host was given. They are read when they are needed. `plan_key` is the part of the plan that
    names them."""

    key: Secret | None = None
    identity: Secret | None = None
    plan_key: str = "repository"

    def __bool__(self) -> bool:
        return self.key is not None or self.identity is not None

    def repository_key(self) -> bytes | None:
        """None when it is not here. Raises KeyMissingError for a file that holds none, or is open to others."""
        text = self.key.find()[0] if self.key else None
        if self.key is None or text is None:
            return None
        return parse_repository_key(text, self.key.origin)

    def identities(self) -> list[Identity]:
        """Empty if this host has none. Raises KeyMissingError for a file that holds none, or that other users can
        read."""
        from backup_platform.repository.encryption.age import Identity

        text = self.identity.find()[0] if self.identity else None
        if self.identity is None or text is None:
            return []
        try:
            found = [Identity(line) for line in key_lines(text)]
        except ValueError as error:
            raise _no_key(self.identity.origin, "age identity (AGE-SECRET-KEY-1…)", str(error)) from None
        if not found:
            raise _no_key(self.identity.origin, "age identity (AGE-SECRET-KEY-1…)", "it holds no key")
        return found

    def missing_key(self, location: str) -> KeyMissingError:
        """The error for a host with neither the repository key nor an identity."""
        return KeyMissingError(
            f"The repository at {location} is encrypted. This host has neither its repository key "
            f"({_where(self.key, 'no key file is named')}) nor an identity "
            f"({_where(self.identity, 'no identity file is named')}).",
            hint=(
                f"Name the file in {KEY_VARIABLE} or as {self.plan_key}.key_file in the plan. Writers have it, "
                f"usually in /etc. An identity opens the repository, too ({IDENTITY_VARIABLE}): with one, ",
                command("key", "export", "FILE"),
                " writes the file again.",
            ),
        )

    def missing_identity(self, location: str, recipients: str) -> KeyMissingError:
        """The error for a host that cannot read contents."""
        return KeyMissingError(
            f"The contents of the repository at {location} can only be opened with an identity. This host has none "
            f"({_where(self.identity, 'no identity file is named')}). It needs the identity of {recipients}.",
            hint="Identities are usually not kept on hosts that write, but in a password store, offline, or by who is "
            f"on call. Name the file in {IDENTITY_VARIABLE} or as {self.plan_key}.identity_file in the plan.",
        )


def _where(secret: Secret | None, nowhere: str) -> str:
    return (secret.find()[1] or f"{secret.origin}: it is another one") if secret else nowhere


def _no_key(origin: str, kind: str, why: str) -> KeyMissingError:
    return KeyMissingError(f"{origin} holds no {kind}: {why}.", hint="Put back the file as it was written.")


def holds_key(text: str) -> bool:
    """Is this a key, rather than where one is kept?"""
    return any(prefix + "1" in text.lower() for prefix in (KEY_PREFIX, IDENTITY_PREFIX))


def key_lines(text: str) -> list[str]:
    """The keys of a key file, without its comments."""
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def parse_repository_key(text: str, origin: str) -> bytes:
    """Raises KeyMissingError."""
    lines = key_lines(text)
    try:
        if len(lines) != 1:
            raise ValueError("it must have exactly one line that is not a comment")  # noqa: TRY301
        key = bech32.decode(KEY_PREFIX, lines[0])
        if len(key) != 32:
            raise ValueError("it has the wrong length")  # noqa: TRY301
    except ValueError as error:
        raise _no_key(origin, "repository key (BACKUP-PLATFORM-KEY-1…)", str(error)) from None
    return key


def new_repository_key() -> bytes:
    return secrets.token_bytes(32)


def write_repository_key(path: str, key: bytes, repository: str, now: datetime) -> None:
    """A new key file. Raises UsageError when it exists or cannot be made."""
    text = bech32.encode(KEY_PREFIX, key).upper()
    write_key_file(path, f"# Repository key of {repository}\n# created: {now.isoformat()}\n{text}\n")


def write_identity(path: str, identity: str, recipient: str, now: datetime) -> None:
    """A new identity file, as `age-keygen` writes it. Raises UsageError when it exists or cannot be made."""
    write_key_file(path, f"# created: {now.isoformat()}\n# public key: {recipient}\n{identity}\n")


def write_key_file(path: str, text: str) -> None:
    """Durably, for the owner's eyes only, never over another file."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UsageError(
            f"The key file {path} cannot be made: {error.strerror}.",
            hint="Key files are never overwritten. Name another file, in a directory that exists.",
        ) from error
    with open(descriptor, "w", encoding="ascii") as file:
        os.fchmod(descriptor, 0o600)
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    _fsync_folder(path)


def _fsync_folder(path: str) -> None:
    descriptor = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
