"""The files of the machine that a server's programs need: their own files, the system's libraries, a few devices."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

_PROGRAMS_AND_LIBRARIES = (
    "/usr/bin",
    "/usr/sbin",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/libexec",
    "/usr/share",
    "/usr/local/lib",
    "/usr/local/share",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/nix/store",
    "/gnu/store",
)
_SETTINGS = (
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/alternatives",
    "/etc/ssl/openssl.cnf",
    "/var/cache/postgresql/dicts",  # where Debian's dictionaries of the text search are
)
USERS = ("/etc/passwd", "/etc/group")
PREFIX = "backup-platform-server-"
SOCKET_PREFIX = "backup-platform-socket-"
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


@dataclass(frozen=True, slots=True)
class Places:
    readable: tuple[str, ...]
    writable: tuple[str, ...]


def data_of(home: str) -> str:
    return os.path.join(home, "data")


def socket_of(home: str) -> str:
    return os.path.join(home, "socket")


def short_socket_of(home: str) -> str:
    """The place of the socket if the path of `home` is too long for it. Its name says to which home it belongs, so the
    contents of the home need not be trusted."""
    return os.path.join("/tmp", SOCKET_PREFIX + os.path.basename(home).removeprefix(PREFIX))  # noqa: S108 - private


def password_of(home: str) -> str:
    return os.path.join(home, "password")


def places_for(program: str, home: str) -> Places:
    """For a program in the `bin` of an installation, and a server with this home. The home itself is not writable:
    what this package keeps beside the server's files cannot be replaced by links."""
    readable = (*_PROGRAMS_AND_LIBRARIES, *_SETTINGS, *_installation(program), password_of(home))
    return Places(readable, (data_of(home), socket_of(home), short_socket_of(home), *_DEVICES))


def _installation(program: str) -> Iterator[str]:
    """Of `PREFIX/bin` no more than belongs to it: PREFIX may be somebody's home. A wheel has more libraries beside its
    package."""
    bin_dir = os.path.dirname(os.path.realpath(program))
    prefix = os.path.dirname(bin_dir)
    beside = (os.path.join(prefix, name) for name in ("lib", "lib64", "share"))
    for path in (bin_dir, *beside, os.path.dirname(prefix) + ".libs"):
        yield path
        if os.path.realpath(path) != path:
            yield os.path.realpath(path)
