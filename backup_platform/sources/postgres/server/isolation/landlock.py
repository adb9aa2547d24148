"""Landlock: the kernel denies a process and its children every file except those named, whatever user they run as.

Available since Linux 5.13, without privileges. Later versions also deny TCP connections, and signals to processes
outside.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Sequence

from backup_platform.sources.postgres.server.isolation import kernel

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # on every architecture
_ASK_VERSION = 1
_BENEATH = 1
_EXECUTE, _WRITE, _READ, _LIST, _TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14
_READING = _EXECUTE | _READ | _LIST
_OF_FILES = _EXECUTE | _WRITE | _READ | _TRUNCATE
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}  # how many rights the versions know, from the lowest bit
_NEWEST_FILE_RIGHTS = 16
_TCP_SINCE, _TCP = 4, 3
_SCOPE_SINCE, _SCOPE = 6, 3  # abstract sockets and signals


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _layout_ = "ms"  # Python 3.14 and newer warn when a packed structure does not name it
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("place", ctypes.c_int32))


def restrict(readable: Sequence[str], writable: Sequence[str]) -> None:
    """From now on, this process and its children can access only these paths and everything below them. Paths that do
    not exist are skipped. Raises `OSError` if the kernel does not have Landlock."""
    version = kernel.system_call(_CREATE, None, 0, _ASK_VERSION)
    every = (1 << _FILE_RIGHTS.get(version, _NEWEST_FILE_RIGHTS)) - 1
    wanted = _Ruleset(every, _TCP if version >= _TCP_SINCE else 0, _SCOPE if version >= _SCOPE_SINCE else 0)
    size = 8 if version < _TCP_SINCE else 16 if version < _SCOPE_SINCE else 24
    rules = kernel.system_call(_CREATE, ctypes.byref(wanted), size, 0)
    try:
        for path in readable:
            _allow(rules, path, every & _READING)
        for path in writable:
            _allow(rules, path, every)
        kernel.prctl(kernel.NO_NEW_PRIVS, 1)
        kernel.system_call(_RESTRICT, rules, 0)
    finally:
        os.close(rules)


def _allow(rules: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError):
        return
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            rights &= _OF_FILES
        kernel.system_call(_ADD, rules, _BENEATH, ctypes.byref(_Beneath(rights, place)), 0)
    finally:
        os.close(place)
