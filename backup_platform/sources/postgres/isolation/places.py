"""What a server's programs need of the machine: their own files, the system's libraries, a few devices."""

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
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


@dataclass(frozen=True, slots=True)
class Places:
    readable: tuple[str, ...]
    writable: tuple[str, ...]


def places_for(program: str, home: str) -> Places:
    """For a program in the `bin` of an installation, and a server whose files are all below `home`."""
    socket = os.path.realpath(os.path.join(home, "socket"))
    short = () if socket.startswith(home + os.sep) else (socket,)
    readable = (*_PROGRAMS_AND_LIBRARIES, *_SETTINGS, *_installation(program))
    return Places(readable, (home, *short, *_DEVICES))


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
