"""System calls that Python 3.11 has no function for."""

from __future__ import annotations

import ctypes
import functools
import os
import sys

NO_NEW_PRIVS, SECCOMP, PDEATHSIG, CHILD_SUBREAPER, AMBIENT = 38, 22, 1, 36, 47
CLEAR_ALL = 4


@functools.cache
def _libc() -> ctypes.CDLL:
    if not sys.platform.startswith("linux"):
        raise OSError("only Linux has it")
    return ctypes.CDLL(None, use_errno=True)


def system_call(number: int, *arguments: object) -> int:
    """Raises `OSError`. Integers are given as they are wide in a register."""
    return _checked(_libc().syscall(ctypes.c_long(number), *map(_wide, arguments)))


def prctl(option: int, *arguments: object) -> None:
    """Raises `OSError`."""
    given = [*map(_wide, arguments), *[ctypes.c_ulong(0)] * (4 - len(arguments))]
    _checked(_libc().prctl(option, *given))


def unshare(flags: int) -> None:
    """Raises `OSError`."""
    _checked(_libc().unshare(flags))


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Raises `OSError`."""
    names = [os.fsencode(name) or None for name in (source, target, kind)]
    _checked(_libc().mount(*names, ctypes.c_ulong(flags), os.fsencode(data) or None))


def detach(target: str) -> None:
    """Unmount, now or when no process uses it any more. Raises `OSError`."""
    _checked(_libc().umount2(os.fsencode(target), 2))


def _wide(value: object) -> object:
    return ctypes.c_ulong(value) if isinstance(value, int) else value


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
