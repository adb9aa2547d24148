"""Owners and extended attributes of an entry. They are neither in its row nor in its content."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field

from backup_platform.filesystem.owners import group_name, user_name

Xattrs = tuple[tuple[bytes, bytes], ...]

_NO_XATTRS = frozenset({errno.ENOTSUP, errno.ENOSYS})


def read_xattrs(target: int | bytes, *, follow: bool = False) -> Xattrs:
    """All extended attributes, POSIX ACLs and capabilities among them, sorted by name. Raises OSError."""
    # A descriptor takes no follow_symlinks=False.
    follow = follow or isinstance(target, int)
    try:
        names = os.listxattr(target, follow_symlinks=follow)
    except OSError as error:
        if error.errno in _NO_XATTRS:
            return ()
        raise
    found = []
    for name in sorted(map(os.fsencode, names)):
        try:
            found.append((name, os.getxattr(target, name, follow_symlinks=follow)))
        except OSError as error:
            if error.errno != errno.ENODATA:
                raise
    return tuple(found)


@dataclass(slots=True)
class Owners:
    """Names of users and groups, looked up once each; empty for an id without a name."""

    _users: dict[int, str] = field(default_factory=dict)
    _groups: dict[int, str] = field(default_factory=dict)

    def user(self, uid: int) -> str:
        name = self._users.get(uid)
        if name is None:
            name = self._users[uid] = user_name(uid)
        return name

    def group(self, gid: int) -> str:
        name = self._groups.get(gid)
        if name is None:
            name = self._groups[gid] = group_name(gid)
        return name
