"""Streams of a recovery point as rows of its inventory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime

from backup_platform.domain.model import Entry, EntryKind, Stat, StreamRef
from backup_platform.domain.ports import Recorder
from backup_platform.filesystem.owners import group_name, user_name

_BATCH = 1000


def record_streams(recorder: Recorder, streams: Mapping[bytes, StreamRef], at: datetime) -> None:
    """Record them with their directories, in the order of an inventory (FORMAT.md §6), as files of this user."""
    paths = {b".", *streams}
    for path in streams:
        while path := os.path.dirname(path):
            paths.add(path)
    order = sorted(paths, key=lambda path: b"" if path == b"." else path.replace(b"/", b"\0"))
    entries = [_entry(path, streams.get(path), at) for path in order]
    for start in range(0, len(entries), _BATCH):
        recorder.record(entries[start : start + _BATCH])


def _entry(path: bytes, stream: StreamRef | None, at: datetime) -> Entry:
    uid, gid = os.getuid(), os.getgid()
    mtime = round(at.timestamp() * 1e6) * 1000
    kind, mode, size = (EntryKind.FILE, 0o600, stream.size) if stream else (EntryKind.DIRECTORY, 0o700, 0)
    stat = Stat(path, kind, mode, uid, gid, size, mtime, mtime, 0, 0, 1, 0)
    entry = Entry(stat, user=user_name(uid), group=group_name(gid))
    return entry._replace(content=stream.content) if stream else entry
