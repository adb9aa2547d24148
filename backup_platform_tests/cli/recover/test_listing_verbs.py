from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from backup_platform import errors
from backup_platform.domain.model import EntryKind, Status
from backup_platform_tests.cli.conftest import Cli
from backup_platform_tests.cli.fake import make_entry, make_point

BEFORE, AFTER = make_point("uploads", 21), make_point("uploads", 22)
LINK = make_entry(b"link", kind=EntryKind.SYMLINK, link_target=b"../x\n")
UNREADABLE = make_entry(b"secret", status=Status.UNREADABLE, problem="Permission denied")


@pytest.fixture
def filled(cli: Cli) -> Cli:
    cli.app.known = [BEFORE, AFTER]
    cli.app.answers["points.entries"] = [
        make_entry(b".", kind=EntryKind.DIRECTORY),
        make_entry(b"a b.txt", size=123_456_789),
        make_entry(b"caf\xe9\x1b[2J", status=Status.CHANGED),
        LINK,
        make_entry(b"twin", hardlink=b"a b.txt", user="", group=""),
        UNREADABLE,
    ]
    return cli


def test_ls_looks_like_ls(filled: Cli) -> None:
    ran = filled("ls", BEFORE.id[:12])
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "drw-r--r-- alice    staff               5 2025-11-22 01:00 .",
        "-rw-r--r-- alice    staff       123456789 2025-11-22 01:00 a b.txt",
        "-rw-r--r-- alice    staff               5 2025-11-22 01:00 $'caf\\xe9\\e[2J'  [changed]",
        "lrw-r--r-- alice    staff               5 2025-11-22 01:00 link -> $'../x\\n'",
        "-rw-r--r-- 1000     1000                5 2025-11-22 01:00 twin (same file as a b.txt)",
        "-rw-r--r-- alice    staff               5 2025-11-22 01:00 secret  [unreadable: Permission denied]",
    ]


def test_ls_of_one_path_asks_for_it_in_the_point_that_was_found(filled: Cli) -> None:
    filled("ls", "uploads@2026-11-21", "a")
    assert filled.app.calls == [("points.entries", {"spec": BEFORE.id, "path": "a"})]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (13_569_465_600, "2400-01-01 01:00 "),
        (-14_831_769_600, "1500-01-01 00:53 "),
        (-62_135_596_800, "0001-01-01 00:53 "),
        (253_402_300_799, "@253402300799    "),
        (-(1 << 60), f"@{-(1 << 60)} "),
    ],
)
def test_ls_shows_any_date(filled: Cli, seconds: int, shown: str) -> None:
    (entry, *_) = filled.app.answers["points.entries"]
    dated = entry._replace(stat=entry.stat._replace(mtime_ns=seconds * 10**9 + 5))
    filled.app.answers["points.entries"] = [dated]
    assert f" {shown}" in filled("ls", BEFORE.id).out
    (found,) = filled("ls", BEFORE.id, "--json").document["entries"]
    assert found["mtime_ns"] == seconds * 10**9 + 5


def test_the_document_of_ls(filled: Cli) -> None:
    document = filled("ls", BEFORE.id, "--json").document
    assert document["point"] == BEFORE.id
    entries = document["entries"]
    assert entries[1] == {
        "path": "a b.txt",
        "kind": "file",
        "mode": 0o644,
        "uid": 1000,
        "gid": 1000,
        "size": 123_456_789,
        "mtime_ns": 1_763_769_600_123_456_789,
        "user": "alice",
        "group": "staff",
        "status": "ok",
    }
    assert (entries[2]["path"], entries[2]["path_b64"]) == ("caf\\xe9\x1b[2J", "Y2Fm6RtbMko=")
    assert entries[3]["link_target"] == "../x\n"
    assert entries[4]["hardlink"] == "a b.txt"
    assert (entries[5]["status"], entries[5]["problem"]) == ("unreadable", "Permission denied")


def test_a_listing_in_json_has_a_row_a_line(filled: Cli) -> None:
    lines = filled("ls", BEFORE.id, "--json").out.splitlines()
    assert len([line for line in lines if line.startswith('    {"path"')]) == 6


def test_a_path_that_is_not_there_is_11(filled: Cli) -> None:
    filled.app.answers["points.entries"] = errors.NotFoundError("no path x")
    assert filled("ls", BEFORE.id, "x").code == 11


def test_an_empty_listing_is_a_document_too(filled: Cli) -> None:
    filled.app.answers["points.entries"] = []
    assert filled("ls", BEFORE.id, "--json").document == {"point": BEFORE.id, "entries": []}


def difference(path: bytes, change: str) -> Any:
    stat = make_entry(path).stat
    before, after = (None if change == "added" else stat), (None if change == "removed" else stat)
    return SimpleNamespace(path=path, change=change, before=before, after=after)


def test_diff_marks_every_kind_of_change(filled: Cli) -> None:
    changes = ["added", "removed", "changed", "metadata", "added"]
    filled.app.answers["points.diff"] = [difference(b"f\n%d" % i, change) for i, change in enumerate(changes)]
    ran = filled("diff", "uploads@2026-11-21", "uploads@latest")
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "+ $'f\\n0'",
        "- $'f\\n1'",
        "M $'f\\n2'",
        "m $'f\\n3'",
        "+ $'f\\n4'",
        "2 added, 1 removed, 1 changed, 1 with only metadata changed",
    ]
    document = filled("diff", BEFORE.id, AFTER.id, "--json").document
    assert (document["a"], document["b"]) == (BEFORE.id, AFTER.id)
    assert [each["change"] for each in document["differences"]] == changes
    assert document["differences"][0]["before"] is None
    assert document["differences"][0]["after"]["mode"] == 0o644


def test_no_differences_are_said_to_be_none(filled: Cli) -> None:
    filled.app.answers["points.diff"] = []
    assert filled("diff", BEFORE.id, AFTER.id).out == "No differences.\n"
