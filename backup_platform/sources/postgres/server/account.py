"""The user of a private server, because PostgreSQL refuses to run as root."""

from __future__ import annotations

import grp
import os
import pwd
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from backup_platform.errors import SourceError
from backup_platform.sources import children

_UNUSED_GROUPS = range(60578, 61184)  # which neither distributions nor systemd give to anybody
PROGRAMS = ("initdb", "postgres")


@dataclass(frozen=True, slots=True)
class Account:
    """`uid` is -1 where the server runs as the user who starts it."""

    uid: int = -1
    gid: int = -1

    def owns(self, paths: Iterable[str]) -> None:
        if self.uid >= 0:
            for path in paths:
                os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def may_enter(self, path: str) -> None:
        """Let this account pass through a directory that stays its creator's, and nobody else."""
        if self.uid >= 0:
            os.chown(path, -1, self.gid)
            os.chmod(path, 0o710)  # noqa: S103 - the group has no other member

    def runs(self, *command: str) -> bool:
        """Whether the command can be started, and succeeds. Raises `SourceError` where root cannot become it."""
        extra: dict[str, Any] = {}
        if self.uid >= 0:
            extra = {"user": self.uid, "group": self.gid, "extra_groups": []}
        try:
            done = children.run(command, cwd="/", **extra)
        except PermissionError:
            self._require()
            return False
        except OSError:
            return False
        return done.returncode == 0

    def _require(self) -> None:
        """Raises `SourceError` where this process cannot become that user."""
        if self.uid < 0:
            return
        try:
            children.run(["/bin/true"], user=self.uid, group=self.gid, extra_groups=[], cwd="/")
        except (OSError, children.ChildError) as error:
            raise SourceError(
                "PostgreSQL does not run as root, and root cannot become another user here.",
                hint="Run as another user, or name a drill_server in the plan.",
            ) from error


def server_account() -> Account:
    """This user's own account. For root it is `nobody`, in a separate group. Other processes of `nobody` are not in
    that group, so they cannot enter directories that only the group may enter. Raises `SourceError`."""
    if os.geteuid() != 0:
        return Account()
    taken = {group.gr_gid for group in grp.getgrall()}
    free = [gid for gid in _UNUSED_GROUPS if gid not in taken]
    try:
        return Account(pwd.getpwnam("nobody").pw_uid, secrets.choice(free))
    except KeyError as error:
        raise SourceError(
            "PostgreSQL does not run as root, and there is no user `nobody` to run a private server as.",
            hint="Run as another user, or name a drill_server in the plan.",
        ) from error


def usable_binaries(bin_dir: str, account: Account, home: str, programs: Sequence[str] = PROGRAMS) -> str:
    """`bin_dir`, or a copy below `home` where the account cannot run the programs there. Raises `SourceError`."""
    if _runnable(bin_dir, programs, account):
        return bin_dir
    prefix = os.path.dirname(bin_dir)
    around, name = os.path.split(prefix)
    copy = os.path.join(home, "programs")
    copied = os.path.join(copy, os.path.basename(around), name, "bin")
    if not _runnable(copied, programs, account):
        try:
            _replace(copy, prefix, programs)
        except OSError as error:
            raise _unusable(bin_dir, f"nor copied: {error.strerror or error}") from error
        if not _runnable(copied, programs, account):
            raise _unusable(bin_dir, "and a copy does not run either")
    return copied


def _runnable(bin_dir: str, programs: Sequence[str], account: Account) -> bool:
    return all(account.runs(os.path.join(bin_dir, program), "--version") for program in programs)


def _replace(copy: str, prefix: str, programs: Sequence[str]) -> None:
    """A copy has its name only when it is complete: the next process that finds one may trust it."""
    draft = tempfile.mkdtemp(prefix="draft-", dir=os.path.dirname(copy))
    try:
        _fill(draft, prefix, programs)
        shutil.rmtree(copy, ignore_errors=True)
        os.rename(draft, copy)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _fill(draft: str, prefix: str, programs: Sequence[str]) -> None:
    around, name = os.path.split(prefix)
    target = os.path.join(draft, os.path.basename(around))
    for needed in (*(f"bin/{program}" for program in programs), "lib", "share"):
        _copy(os.path.join(prefix, needed), os.path.join(target, name, needed))
    if os.path.isdir(around + ".libs"):  # libraries of a wheel, beside its package
        _copy(around + ".libs", target + ".libs")
    for place, _, names in os.walk(draft):  # the originals, or this process's umask, may shut others out
        os.chmod(place, 0o755)  # noqa: S103 - installed programs, no secrets; `home` guards them
        for path in (os.path.join(place, file) for file in names):
            if not os.path.islink(path):
                os.chmod(path, stat.S_IMODE(os.stat(path).st_mode) | 0o444 | _executable(path))


def _executable(path: str) -> int:
    return 0o111 if os.stat(path).st_mode & stat.S_IXUSR else 0


def _copy(source: str, target: str) -> None:
    if os.path.isdir(source):
        shutil.copytree(source, target, symlinks=True, copy_function=shutil.copy)
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    shutil.copy(source, target)


def _unusable(bin_dir: str, reason: str) -> SourceError:
    return SourceError(
        f"The server in {bin_dir!r} cannot be run by the user that a private server runs as, {reason}.",
        hint="Install PostgreSQL's server where every user can run it, or name a drill_server in the plan.",
    )
