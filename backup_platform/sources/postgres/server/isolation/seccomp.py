"""A filter of system calls: no sockets except those for clients on the same machine, and no access to other processes.

It needs no privileges, and works in containers that allow nothing else. A server that listens on a socket file connects
to nothing, so `connect` is denied completely. Therefore it cannot reach socket files of others either.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Sequence

from backup_platform.sources.postgres.server.isolation import kernel

# Numbers of system calls: x86_64, and what newer architectures have in common.
_X86_64 = {
    "socket": 41, "connect": 42, "socketpair": 53, "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311,
    "unshare": 272, "setns": 308, "mount": 165, "umount2": 166, "pivot_root": 155, "add_key": 248, "request_key": 249,
    "keyctl": 250, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323, "open_by_handle_at": 304,
}  # fmt: skip
_GENERIC = {
    "socket": 198, "connect": 203, "socketpair": 199, "ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271,
    "unshare": 97, "setns": 268, "mount": 40, "umount2": 39, "pivot_root": 41, "add_key": 217, "request_key": 218,
    "keyctl": 219, "bpf": 280, "perf_event_open": 241, "userfaultfd": 282, "open_by_handle_at": 265,
}  # fmt: skip
# Of the newer ones the numbers are the same everywhere.
_COMMON = {
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428, "move_mount": 429,
    "fsopen": 430, "fsmount": 432, "pidfd_getfd": 438, "mount_setattr": 442,
}  # fmt: skip
_ARCHITECTURES = {
    "x86_64": (0xC000003E, _X86_64),
    "aarch64": (0xC00000B7, _GENERIC),
    "riscv64": (0xC00000F3, _GENERIC),
}
_OTHER_NUMBERS = 0x40000000  # x32: the same calls on x86_64 by other numbers

_LOAD, _EQUAL, _AT_LEAST, _AND, _RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_AT, _SECOND_AT = 0, 4, 16, 24
_PASS, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
_UNIX, _STREAM, _KIND_OF_SOCKET = 1, 1, 0xF
_FILTER = 2


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("yes", ctypes.c_uint8),
        ("no", ctypes.c_uint8),
        ("value", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction)))


def restrict() -> None:
    """For this process and its children, permanently. Raises `OSError` if it is not possible."""
    machine = os.uname().machine
    if machine not in _ARCHITECTURES or sys.maxsize < 1 << 32:
        raise OSError(errno.ENOSYS, f"no filter for {machine}")
    architecture, numbers = _ARCHITECTURES[machine]
    steps = _steps(architecture, numbers | _COMMON)
    code = (_Instruction * len(steps))(*(_Instruction(*step) for step in steps))
    kernel.prctl(kernel.NO_NEW_PRIVS, 1)
    kernel.prctl(kernel.SECCOMP, _FILTER, ctypes.byref(_Program(len(steps), code)))


def _steps(architecture: int, numbers: dict[str, int]) -> Sequence[tuple[int, int, int, int]]:
    """A jump counts the instructions that it passes over; the last but one refuses, the last lets pass."""
    refused = [number for name, number in numbers.items() if name != "socket"]
    of_socket = [
        (_LOAD, 0, 0, _FIRST_AT),
        (_EQUAL, 0, 3, _UNIX),
        (_LOAD, 0, 0, _SECOND_AT),
        (_AND, 0, 0, _KIND_OF_SOCKET),
        (_EQUAL, 1, 0, _STREAM),
    ]
    rest = len(refused) + 1 + len(of_socket)  # from the first comparison with a number to the refusal
    return [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 0, rest + 2, architecture),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_AT_LEAST, rest, 0, _OTHER_NUMBERS),
        *((_EQUAL, rest - 1 - at, 0, number) for at, number in enumerate(refused)),
        (_EQUAL, 0, len(of_socket) + 1, numbers["socket"]),
        *of_socket,
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _PASS),
    ]
