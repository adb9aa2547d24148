"""`cat`: one file of a point on standard output, every byte of it or a failure."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from backup_platform.actions.restore.content import file_content
from backup_platform.app import App
from backup_platform.domain.model import Content, EntryKind, Status
from backup_platform.errors import DamageError, NotFoundError
from backup_platform_tests.cli.conftest import Verbs
from backup_platform_tests.cli.fake import make_entry, make_point

PLAN = """\
repository: {path: repository}
state: state
sources:
  tree: {files: tree, every: day}
  dump: {command: [cat, dump], every: day}
"""
LARGE = "".join(random.Random(3).choices("abcdefghijklmnopqrstuvwxyz", k=3_000_000))
SPARSE = "begin" + "\0" * 3_000_000 + "end" + "\0" * 2_000_000


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Verbs:
    (tmp_path / "backup.yaml").write_text(PLAN)
    tree = tmp_path / "tree"
    (tree / "folder").mkdir(parents=True)
    (tree / "folder" / "large").write_text(LARGE)
    (tree / "unused").write_text("text")
    os.link(tree / "unused", tree / "same")
    os.symlink("unused", tree / "link")
    with (tree / "sparse").open("wb") as file:
        file.write(b"begin")
        file.seek(3_000_005)
        file.write(b"end")
        file.truncate(len(SPARSE))
    (tmp_path / "dump").write_text("a dump\n")
    made = Verbs(capsys, tmp_path / "backup.yaml")
    made("init", code=0)
    made("backup", code=0)
    return made


def test_it_writes_the_file_and_nothing_else(run: Verbs, tmp_path: Path) -> None:
    for path, content in (
        ("folder/large", LARGE),
        (str(tmp_path / "tree" / "unused"), "text"),
        ("same", "text"),
        ("sparse", SPARSE),
    ):
        ran = run("cat", "tree@latest", path, code=0)
        assert ran.out == content
        assert ran.err == ""


def test_the_only_file_needs_no_name(run: Verbs) -> None:
    assert (
        run("cat", "dump@latest", code=0).out == run("cat", "dump@latest", "output", code=0).out == "a dump\n"
    )


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["tree@latest"], 2, "holds several files"),
        (["tree@latest", "folder"], 2, "folder is not a file"),
        (["tree@latest", "link"], 2, "link is not a file"),
        (["tree@latest", ""], 2, "empty"),
        (["tree@latest", "unusd"], 11, "Did you mean 'unused'?"),
        (["dump@latest", "--json"], 2, "writes the bytes of a file, not JSON"),
    ],
)
def test_what_is_no_file(run: Verbs, words: list[str], code: int, told: str) -> None:
    ran = run("cat", *words, code=code)
    assert told in ran.out + ran.err


def test_damage_ends_it_before_the_first_wrong_byte(run: Verbs, tmp_path: Path) -> None:
    pack = max((tmp_path / "repository" / "packs").glob("*/*"), key=lambda path: path.stat().st_size)
    pack.chmod(0o600)
    data = bytearray(pack.read_bytes())
    data[len(data) * 3 // 4] ^= 1
    pack.write_bytes(data)
    ran = run("cat", "tree@latest", "folder/large", code=1)
    assert "error [repository-damaged]" in ran.err
    assert LARGE.startswith(ran.out)
    assert len(ran.out) < len(LARGE)


def test_a_file_that_is_shorter_than_it_was_is_damage(run: Verbs, tmp_path: Path) -> None:
    app = App.load(str(tmp_path / "backup.yaml"))
    point = app.points.find("dump@latest")
    reader = app.repository.reader(point)

    class Longer:
        def entries(self) -> object:
            entries = list(reader.entries())
            return iter([e._replace(stat=e.stat._replace(size=e.stat.size + 1)) for e in entries])

        def read(self, content: Content) -> object:
            return reader.read(content)

    with pytest.raises(DamageError, match="has 7 stored bytes, and 8 were captured"):
        list(file_content(Longer(), point, None))  # type: ignore[arg-type]


def test_a_file_that_was_unreadable_has_no_content() -> None:

    class Reader:
        def entries(self) -> object:
            return iter([make_entry(b"x", kind=EntryKind.FILE, status=Status.UNREADABLE, problem="EACCES")])

    with pytest.raises(NotFoundError, match="unreadable, EACCES"):
        file_content(Reader(), make_point("uploads"), "x")  # type: ignore[arg-type]


def test_a_reader_that_goes_away_ends_it(run: Verbs, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "backup_platform.cli.entry", "--plan", str(tmp_path / "backup.yaml")]
    with subprocess.Popen(
        [*words, "cat", "tree@latest", "folder/large"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read(10) == LARGE[:10].encode()
        process.stdout.close()
        assert process.wait(60) == 141
