"""Namespaces: a root directory that has only what a server needs, no network, and no other processes.

Root creates them directly. Other users need a user namespace, which some machines and most containers do not allow.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from backup_platform.sources.postgres.server.isolation import kernel

_USER, _MOUNT, _PROCESSES, _NETWORK, _IPC = 0x10000000, 0x20000, 0x20000000, 0x40000000, 0x08000000
_READ_ONLY, _NO_SETUID, _NO_DEVICES, _REMOUNT, _BIND, _ALL, _OWN = 1, 2, 4, 32, 4096, 16384, 1 << 18
_PIVOT_ROOT = {"x86_64": 155}
_PIVOT_ROOT_ELSEWHERE = 41
_NO_PROGRAMS = 8
# What statvfs says of a mount, and what must be said again when it is bound in a user namespace.
_KEPT = _READ_ONLY | _NO_SETUID | _NO_DEVICES | _NO_PROGRAMS


def enter(jail: str, readable: Sequence[str], writable: Sequence[str], owner: tuple[int, int]) -> None:
    """This process gets a root directory of its own in the empty directory `jail`, with these paths as they are named,
    and its children are in the other namespaces. `owner` is the user that they run as. Raises `OSError`."""
    mapped = os.geteuid() != 0
    _unshare(mapped)
    mask = os.umask(0o022)  # another user is to pass through the directories that are made here
    kernel.mount("", "/", flags=_ALL | _OWN)
    kernel.mount("tmpfs", jail, "tmpfs", _NO_SETUID | _NO_DEVICES, "mode=755,size=4m")
    for path in readable:
        _show(jail, path, _READ_ONLY)
    for path in writable:
        _show(jail, path, 0)
    _name_user(jail, *owner)
    os.umask(mask)
    os.chdir(jail)
    kernel.system_call(_PIVOT_ROOT.get(os.uname().machine, _PIVOT_ROOT_ELSEWHERE), b".", b".")
    kernel.detach(".")
    os.chdir("/")
    kernel.mount("", "/", flags=_REMOUNT | _BIND | _READ_ONLY | _NO_SETUID | _NO_DEVICES)


def _unshare(mapped: bool) -> None:
    uid, gid = os.geteuid(), os.getegid()
    kernel.unshare((_USER if mapped else 0) | _MOUNT | _PROCESSES | _NETWORK | _IPC)
    if mapped:
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{uid} {uid} 1"),
            ("gid_map", f"{gid} {gid} 1"),
        ):
            _write(f"/proc/self/{name}", text, 0)


def _show(jail: str, path: str, flags: int) -> None:
    """To be read, a path below one that is shown already is there."""
    inside = jail + path
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return
    if flags & _READ_ONLY and os.path.lexists(inside):
        return
    os.makedirs(os.path.dirname(inside), mode=0o755, exist_ok=True)
    if stat.S_ISLNK(mode):
        os.symlink(os.readlink(path), inside)
        return
    if stat.S_ISDIR(mode):
        os.makedirs(inside, mode=0o755, exist_ok=True)
    else:
        _write(inside, "", os.O_CREAT)
    kernel.mount(path, inside, flags=_BIND | _ALL)
    devices = 0 if stat.S_ISCHR(mode) else _NO_DEVICES
    kept = os.statvfs(inside).f_flag & (_KEPT if devices else _KEPT & ~_NO_DEVICES)
    kernel.mount("", inside, flags=_REMOUNT | _BIND | kept | flags | devices | _NO_SETUID)


def _name_user(jail: str, uid: int, gid: int) -> None:
    """PostgreSQL asks for the name of its user; the machine's own list would need what is not there."""
    os.makedirs(os.path.join(jail, "etc"), mode=0o755, exist_ok=True)
    for name, text in (
        ("passwd", f"postgres:x:{uid}:{gid}::/:/bin/false\n"),
        ("group", f"postgres:x:{gid}:\n"),
    ):
        _write(os.path.join(jail, "etc", name), text, os.O_CREAT)


def _write(path: str, text: str, flags: int) -> None:
    """Without Python's codecs: its library may be out of reach by now."""
    descriptor = os.open(path, os.O_WRONLY | flags, 0o644)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
