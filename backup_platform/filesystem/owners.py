"""Names of users and groups on this machine."""

from __future__ import annotations

import grp
import pwd


def user_name(uid: int) -> str:
    """Empty for a user that this machine does not know."""
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return ""


def group_name(gid: int) -> str:
    """Empty for a group that this machine does not know."""
    try:
        return grp.getgrgid(gid).gr_name
    except (KeyError, OverflowError):
        return ""
