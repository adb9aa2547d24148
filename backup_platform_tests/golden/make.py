"""Makes the repositories in `format1/` and `format1-encrypted/`. It was run once for each
(`python -m backup_platform_tests.golden.make [encrypted]`), and is kept to say what is in them: a format that is out
there does not change.

What is expected of it, in `expected.json`, is computed from what goes in and not by reading it back.
"""

from __future__ import annotations

import json
import secrets
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from blake3 import blake3

from backup_platform.actions.keys.recipients import KeyRing
from backup_platform.actions.keys.run import cipher_of, generate_key
from backup_platform.domain.model import (
    Content,
    Entry,
    EntryKind,
    Problem,
    Proof,
    ProofMethod,
    RecoveryPoint,
    Stat,
    Status,
)
from backup_platform.domain.ports import Buffer
from backup_platform.domain.windows.schedule import CADENCES, WindowSchedule
from backup_platform.repository.creating import init_repository
from backup_platform.repository.encryption.age import Identity, Recipient, generate_identity
from backup_platform.repository.encryption.key_files import Keys, Secret, new_repository_key
from backup_platform.repository.encryption.key_tests import record_test
from backup_platform.repository.encryption.recipients import add_recipient, retire_recipient
from backup_platform.repository.points import recorder
from backup_platform.repository.repository import Repository
from backup_platform.repository.session import Session
from backup_platform.stores.object_store import DirectoryStore
from backup_platform_tests.support import START, ManualClock, noise, text

GOLDEN = Path(__file__).parent
FILE, OK = EntryKind.FILE, Status.OK


class Every4KiB:
    """So that little data makes several chunks."""

    def cut(self, blocks: Iterable[Buffer]) -> Iterator[Buffer]:
        data = b"".join(blocks)
        return (data[i : i + 4096] for i in range(0, len(data), 4096))


def stat(path: bytes, kind: EntryKind = FILE, size: int = 0, **changes: Any) -> Stat:
    mode = {EntryKind.DIRECTORY: 0o755, EntryKind.SYMLINK: 0o777}.get(kind, 0o640)
    made = Stat(
        path, kind, mode, 1000, 100, size, 1_700_000_000_123_456_789, 1_700_000_001_000_000_000, 7, 2049, 1, 0
    )
    return made._replace(**changes)


def contents(version: int) -> dict[bytes, bytes]:
    """Stored bytes by path; of the sparse file its data ranges joined."""
    return {
        b"dir/a file": b"hello, world\n",
        b"dir/changed": b"read while it was written",
        b"dir/deep": noise(15 * 4096 + 5, 1),
        b"dir/several chunks": text(3 * 4096, 2) if version == 1 else text(3 * 4096, 2) + b"appended\n",
        b"dir/sparse": b"start" + b"the end",
        b"\xff\xfe not UTF-8 \x80": b"odd name",
        **({b"only in the first": b"gone"} if version == 1 else {b"only in the second": b"new"}),
    }


def entries(version: int) -> list[Entry]:
    """One of every kind and state, in the order of a walk."""
    acl = b"\x02\x00\x00\x00\x01\x00\x07\x00\xff\xff\xff\xff"
    rows = [
        Entry(stat(b".", EntryKind.DIRECTORY), user="backup", group="users"),
        Entry(stat(b"dir", EntryKind.DIRECTORY), xattrs=((b"system.posix_acl_default", acl),)),
        *(Entry(stat(path, size=len(data))) for path, data in contents(version).items()),
        Entry(
            stat(b"dir/empty", mtime_ns=-1, nlink=2, inode=8),
            xattrs=((b"user.empty", b""), (b"user.x", b"\0\1")),
        ),
        Entry(stat(b"dir/hard link", nlink=2, inode=8), hardlink=b"dir/empty"),
        Entry(stat(b"special/link", EntryKind.SYMLINK, 9), link_target=b"../\xff else"),
        Entry(stat(b"special", EntryKind.DIRECTORY)),
        Entry(stat(b"special/pipe", EntryKind.FIFO)),
        Entry(stat(b"special/tty", EntryKind.CHAR_DEVICE, rdev=0x0501)),
        Entry(stat(b"special/disk", EntryKind.BLOCK_DEVICE, rdev=0x0800)),
        Entry(stat(b"special/socket", EntryKind.SOCKET)),
    ]
    if version == 2:
        rows.append(Entry(stat(b"dir/vanished", size=9), Status.VANISHED, "No such file or directory"))
        rows.append(Entry(stat(b"dir/unreadable", size=9, mode=0), Status.UNREADABLE, "Permission denied"))
    changed: dict[bytes, dict[str, Any]] = {
        b"dir/changed": {"status": Status.CHANGED, "problem": "changed while it was read"},
        b"dir/sparse": {"extents": ((0, 5), (1 << 40, 7)), "stat": stat(b"dir/sparse", size=(1 << 40) + 7)},
    }
    rows = [row._replace(**changed.get(row.stat.path, {})) for row in rows]
    return sorted(rows, key=lambda row: b"" if row.stat.path == b"." else row.stat.path.replace(b"/", b"\0"))


def capture(repository: Repository, previous: RecoveryPoint | None, version: int) -> RecoveryPoint:
    clock, stored = repository.clock, contents(version)
    with Session(repository, previous) as session:
        rows = []
        for row in entries(version):
            data = stored.get(row.stat.path, b"")
            content = session.recorder.stream([data], Every4KiB()).content if data else Content()
            rows.append(row._replace(content=content))
        session.recorder.record(rows)
        inventory = session.finish()
        stats = replace(session.stats, duration_s=1.5)
    problems = tuple(
        Problem(row.stat.path.decode(), row.status, row.problem) for row in rows if row.status is not OK
    )
    schedule = WindowSchedule(CADENCES["day"], "Europe/Berlin", since=START)
    return repository.points.commit(
        RecoveryPoint(
            id="",
            sequence=version,
            predecessor=previous.id if previous else "",
            source="müll & docs",
            kind="files",
            window=schedule.window_of(clock.now()),
            timezone="Europe/Berlin",
            captured_at=clock.now(),
            committed_at=clock.now(),
            lateness_s=0.0,
            incomplete=version == 2,
            problem_count=len(problems),
            problems=problems,
            facts={"files": 8, "name": "naïve", "nested": {"list": [1, 2.5, None, True]}},
            stats=stats,
            inventory=inventory,
            versions={"backup_platform": "golden", "scripted": "1"},
        )
    )


def expectation(version: int) -> dict[str, Any]:
    """What a reader must find: rows as JSON, content as hash of the stored bytes."""
    stored = contents(version)
    return {
        "sequence": version,
        "incomplete": version == 2,
        "rows": [
            {
                "path": row.stat.path.hex(),
                "status": row.status.value,
                "problem": row.problem,
                "user": row.user,
                "group": row.group,
                "link_target": row.link_target.hex() if row.link_target is not None else None,
                "hardlink": row.hardlink.hex() if row.hardlink is not None else None,
                "xattrs": [[name.hex(), value.hex()] for name, value in row.xattrs],
                "extents": [list(extent) for extent in row.extents] if row.extents is not None else None,
                "content": blake3(stored.get(row.stat.path, b"")).hexdigest(),
                **{name: value for name, value in row.stat._asdict().items() if name != "path"},
            }
            for row in entries(version)
        ],
    }


def make_encrypted(store: DirectoryStore, clock: ManualClock, here: Path) -> Keys:
    """To one recipient; its identity is checked in, for tests only."""
    recipient = generate_key(str(here / "identity-first.txt"), clock.now())
    init_repository(store, clock, key=new_repository_key(), recipients=[recipient])
    return Keys(identity=Secret("golden", (here / "identity-first.txt").read_text()))


def change_recipients(repository: Repository, here: Path) -> None:
    """Add two, and retire one of them. The packs of the first point are rewrapped for the other one afterwards."""
    cipher, now = cipher_of(repository), repository.clock.now()
    later = generate_key(str(here / "identity-later.txt"), now)
    retired = Identity(generate_identity()).recipient
    for recipient in (later, retired):
        add_recipient(cipher.objects, Recipient(recipient), now)
    retire_recipient(cipher.objects, retired, now)
    record_test(cipher.objects, later, "", now)


def main() -> None:
    encrypted = sys.argv[1:] == ["encrypted"]
    here = GOLDEN / ("format1-encrypted" if encrypted else "format1")
    shutil.rmtree(here, ignore_errors=True)
    clock = ManualClock()
    store = DirectoryStore(str(here / "repository"))
    secrets.token_hex = lambda nbytes=None: "0123456789abcdef" * ((nbytes or 32) // 8) or "01234567"
    vars(recorder)["MAX_LISTED_IDS"] = 4
    keys = make_encrypted(store, clock, here) if encrypted else Keys()
    if not encrypted:
        init_repository(store, clock)
    repository = Repository(store, clock, keys=keys)
    first = capture(repository, None, 1)
    clock.advance(days=1)
    if encrypted:
        change_recipients(repository, here)
    second = capture(repository, first, 2)
    repository.proofs.record(Proof(first.id, ProofMethod.VERIFY, True, clock.now(), 2.5, {"packs_read": 3}))
    repository.proofs.record(
        Proof(second.id, ProofMethod.DRILL, False, clock.now(), 9.0, {"differences": ["é"]})
    )
    repository.marks.mark(sorted(repository.objects.packs())[0], "for the golden repository")
    if encrypted:
        KeyRing(repository, clock).rewrap()
    expected = {"points": [expectation(1), expectation(2)], "ids": [first.id, second.id]}
    (here / "expected.json").write_text(json.dumps(expected, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
