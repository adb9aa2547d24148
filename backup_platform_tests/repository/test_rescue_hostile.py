"""rescue.py and what a hostile hand wrote: it is refused and counted, and everything else is restored."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backup_platform.domain.model import EntryKind
from backup_platform.repository.objects.canonical import canonical
from backup_platform_tests.repository.hostile import HostileSource, brackets, rewrite, row
from backup_platform_tests.repository.rescuing import Rescue
from backup_platform_tests.support import Bench, noise


@pytest.fixture(scope="module")
def rescue(tmp_path_factory: pytest.TempPathFactory) -> Rescue:
    return Rescue.prepare(tmp_path_factory.mktemp("rescue"))


def test_paths_that_lead_outside_are_refused_and_the_rest_is_restored(rescue: Rescue, tmp_path: Path) -> None:
    outside, to = tmp_path / "outside", tmp_path / "inner" / "to"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    refused = [
        row(b"../escaped"),
        row(b"a/../../escaped"),
        row(os.fsencode(outside / "absolute")),
        row(b"."),
        row(b".."),
        row(b"nul\0name"),
        row(b"out/through a link"),
        row(b"also refused", hardlink=b"out/secret"),
        row(b"refused too", hardlink=b"../outside/secret"),
    ]
    made = Bench(tmp_path / "repository")
    made.source = HostileSource(
        made.clock, rows_after=[*refused, row(b"out", EntryKind.SYMLINK, link_target=os.fsencode(outside))]
    )
    made.source.write(b"before", b"1")
    made.source.write(b"z/after", noise(300_000, 1))
    made.backup()
    done = rescue.run(made.root, "restore", "docs@latest", to)
    assert done.returncode == 3
    assert "leads outside" in done.stderr
    assert f"0 damaged, {len(refused)} not made" in done.stdout
    assert sorted(os.listdir(to)) == [b.decode() for b in (b"before", b"out", b"z")]
    assert (to / "z" / "after").read_bytes() == made.source.files[b"z/after"]
    assert os.listdir(outside) == ["secret"]
    assert sorted(os.listdir(tmp_path / "inner")) == ["to"]


def as_text(document: dict[str, Any]) -> None:
    document["sequence"] = f"{document['sequence']:010}"


def of_any_kind(document: dict[str, Any]) -> None:
    document |= {"captured_at": 7, "incomplete": 10**12, "kind": None, "window": {"key": ["x"]}}


def without_an_end(document: dict[str, Any]) -> None:
    document["inventory"]["depth"] = 10**6


def too_large(document: dict[str, Any]) -> None:
    document["inventory"]["size"] = 1 << 62


def test_hostile_manifests_hide_no_other_point(rescue: Rescue, tmp_path: Path) -> None:
    made = Bench(tmp_path / "repository")
    made.source.write(b"first", noise(5_000, 1))
    good = made.backup()
    changes = (brackets, as_text, of_any_kind, without_an_end, too_large)
    for key, change in zip([made.open().points.key(made.backup()) for _ in changes], changes, strict=True):
        rewrite(made.root / key, change)
    listed = rescue.restore(made.root, "list", lost=True)
    assert good.id[:12] in listed
    assert "Traceback" not in listed
    assert listed.count("is lost: ") == len(changes)
    rescue.restore(made.root, "restore", good.id, tmp_path / "to", lost=True)
    assert (tmp_path / "to" / "first").read_bytes() == made.source.files[b"first"]


def set_to(*path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """The change of one value of a manifest."""

    def change(document: dict[str, Any]) -> None:
        for name in path[:-1]:
            document = document[name]
        document[path[-1]] = value

    return change


def nested(document: dict[str, Any]) -> bytes:
    """Deeper than the limit, and not too deep for Python's parser."""
    return canonical(document).replace(b'"facts":{', b'"facts":{"a":' + b"[" * 40 + b"]" * 40 + b",", 1)


def long_number(document: dict[str, Any]) -> bytes:
    return canonical(document).replace(b'"facts":{', b'"facts":{"a":' + b"9" * 41 + b",", 1)


def spaced(document: dict[str, Any]) -> bytes:
    return canonical(document).replace(b'"facts":', b'"facts": ', 1)


REFUSED = {
    "deep brackets": brackets,
    "more brackets than the limit": nested,
    "a long number": long_number,
    "not canonical": spaced,
    "a path as time zone": set_to("timezone", value="../../../etc/passwd"),
    "no time zone": set_to("timezone", value=None),
    "the year 1": set_to("captured_at", value="0001-01-01T00:00:00+00:00"),
    "the year 9999": set_to("window", "end", value="9999-12-31T00:00:00+00:00"),
    "no offset": set_to("committed_at", value="2026-11-22T02:15:00"),
    "a negative size": set_to("stats", "source_bytes", value=-3),
    "a count above 63 bits": set_to("stats", "files", value=1 << 63),
    "a count that is a flag": set_to("stats", "new_bytes", value=True),
    "a deep inventory": set_to("inventory", "depth", value=9),
    "a large inventory": set_to("inventory", "size", value=(64 << 30) + 1),
    "a problem count as text": set_to("problem_count", value="1"),
    "incomplete as number": set_to("incomplete", value=0),
    "no kind": set_to("kind", value=None),
}
TAKEN = {
    "brackets and quotes in a text": set_to("facts", value={"a": '[[{"' * 50 + "\\"}),
    "as many brackets as the limit": lambda document: canonical(document).replace(
        b'"facts":{', b'"facts":{"a":' + b"[" * 30 + b"]" * 30 + b",", 1
    ),
    "the largest count": set_to("stats", "files", value=(1 << 63) - 1),
    "another zone": set_to("timezone", value="America/Argentina/Buenos_Aires"),
}


def test_rescue_and_the_program_refuse_the_same_documents(rescue: Rescue, tmp_path: Path) -> None:
    made = Bench(tmp_path / "repository")
    made.source.write(b"first", noise(5_000, 1))
    changes = REFUSED | TAKEN
    keys = {name: made.open().points.key(made.backup()) for name in changes}
    for name, change in changes.items():
        rewrite(made.root / keys[name], change)
    points, _ = made.open().points.readable()
    by_program = {made.open().points.key(point) for point in points}
    said = rescue.restore(made.root, "list", lost=True)
    by_rescue = {key for key in keys.values() if f"{key} is lost" not in said}
    assert by_program == {keys[name] for name in TAKEN}
    assert by_rescue == by_program


EVIL = "\x1b[2J\r\x08\u202e\u200b\u2028\n!! forged"


def named_evil(document: dict[str, Any]) -> None:
    document["kind"] = EVIL
    document["window"]["key"] = EVIL


def acts(said: str) -> list[str]:
    """Lines that could do something to a terminal, or that a name has made."""
    return [line for line in said.split("\n") if not line.isprintable() or line.startswith("!! forged")]


def test_names_and_manifests_cannot_act_on_a_terminal(rescue: Rescue, tmp_path: Path) -> None:
    made = Bench(tmp_path / "repository")
    made.source = HostileSource(made.clock, rows_after=[row(b"../" + EVIL.encode()), row(b"caf\xe9\x9b")])
    for name in (EVIL, "Größe 漢字 🎉"):
        made.source.write(name.encode(), b"1")
    point = made.backup()
    listed = rescue.restore(made.root, "list", point.id)
    assert "Größe 漢字 🎉" in listed
    assert "\\x1b[2J\\r\\x08\\u202e\\u200b\\u2028\\n!! forged" in listed
    rewrite(made.root / made.open().points.key(point), named_evil)
    said = [listed, rescue.restore(made.root, "list")]
    for arguments in (
        ("restore", "docs@latest", tmp_path / "to", EVIL),
        ("restore", f"docs@{EVIL}x", tmp_path),
    ):
        done = rescue.run(made.root, *arguments)
        said += [done.stdout, done.stderr]
    assert [line for text in said for line in acts(text)] == []


def test_a_database_cannot_act_on_a_terminal_or_in_what_is_pasted(rescue: Rescue, tmp_path: Path) -> None:
    table = {
        "schema": EVIL,
        "name": EVIL,
        "columns": [{"name": EVIL, "storage": "text"}],
        "parts": [EVIL],
        "rows": 1,
    }
    acl = [[EVIL, "SELECT", False], [EVIL, "SELECT;\n\\! touch x", False]]
    database = {
        "locale": {"encoding": "UTF8", "collate": "it's $(touch x)", "ctype": EVIL},
        "load_through": [],
        "sequences": [],
        "large_objects": [{"oid": 1, "owner": EVIL, "comment": EVIL, "acl": acl}],
        "refresh": [],
    }
    (tmp_path / "catalogue.json").write_text(json.dumps({"tables": [table]}))
    (tmp_path / "database.json").write_text(json.dumps(database))
    done = rescue.run(tmp_path, program="rescue_tables.py")
    assert done.returncode == 3
    assert acts(done.stdout + done.stderr) == []
    assert """'--lc-collate=it'"'"'s $(touch x)'""" in done.stdout
    assert "touch x" not in (tmp_path / "load" / "last.sql").read_text()
    database["sequences"] = [
        {"sequence": {"schema": "s", "name": "n"}, "last_value": "1);\n\\! x", "is_called": True}
    ]
    (tmp_path / "load").rename(tmp_path / "before")
    (tmp_path / "database.json").write_text(json.dumps(database))
    assert rescue.run(tmp_path, program="rescue_tables.py").returncode == 1
    for text in ("[" * 100_000, None):
        with (tmp_path / "catalogue.json").open("w") as file:
            file.truncate((512 << 20) + 1) if text is None else file.write(text)
        done = rescue.run(tmp_path, program="rescue_tables.py")
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
