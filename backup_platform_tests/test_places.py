"""Sources, repositories, copies and the state have places of their own: else the plan or the source is refused."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from backup_platform.errors import PlanError, SourceFormatError
from backup_platform.sources.files.source import FileTreeSource
from backup_platform.sources.sqlite.source import SqliteSource
from backup_platform.wiring import read_plan
from backup_platform_tests.sources.files_support import AheadClock, CountingProgress, MemoryRecorder

ITSELF = "a repository is not backed up into itself"


def refused(folder: Path, text: str) -> list[str]:
    plan = folder / "backup.yaml"
    plan.write_text(text)
    try:
        read_plan(str(plan))
    except PlanError as error:
        return [line.partition("backup.yaml:")[2] for line in error.message.splitlines()]
    return []


@pytest.mark.parametrize(
    ("repository", "source", "problem"),
    [
        ("src", "files: src", "is the directory of"),
        ("src/", "files: ./x/../src", "is the directory of"),
        ("file://{folder}/src", "files: src", "is the directory of"),
        ("src", "files: src/packs", "is inside the directory of"),
        ("{folder}/src", "files: src/a/b/c", "is inside the directory of"),
        ("/", "files: src", "is inside the directory of"),
        ("src", "sqlite: src/shop.db", "is inside the directory of"),
    ],
)
def test_a_source_in_a_repository(tmp_path: Path, repository: str, source: str, problem: str) -> None:
    path = repository.format(folder=tmp_path)
    text = f"repository: {{path: '{path}'}}\nsources:\n  a: {{every: day, {source}}}\n"
    kind = source.partition(":")[0]
    assert refused(tmp_path, text) == [f"3: sources.a.{kind}: {problem} repository: {ITSELF}"]


@pytest.mark.parametrize(
    "text",
    [
        "repository: {path: src/repo}\nsources:\n  a: {files: src, every: day}\n",
        "repository: {path: src}\nsources:\n  a: {files: src-2, every: day}\n",
        "repository: {path: 's3://bucket/src'}\nsources:\n  a: {files: src, every: day}\n",
        "repository: {path: '${env:NOT_SET_HERE}'}\nsources:\n  a: {files: src, every: day}\n",
        "repository: {path: src}\nsources:\n  a: {postgres: 'postgresql:///src', every: day}\n",
        "repository: {path: repo}\nstate: state\nsources:\n  a: {files: ., every: day}\n",
    ],
)
def test_what_is_no_mistake(tmp_path: Path, text: str) -> None:
    assert refused(tmp_path, text) == []


def test_copies_and_the_state_inside_a_repository(tmp_path: Path) -> None:
    text = (
        "repositories:\n  main: {path: r}\n  offsite: {path: r/copy}\n"
        "state: r/copy/state\nsources:\n  a: {files: r/copy, every: day}\n"
    )
    assert refused(tmp_path, text) == [
        f"6: sources.a.files: is inside the directory of repositories.main: {ITSELF}",
        f"6: sources.a.files: is the directory of repositories.offsite: {ITSELF}",
        "3: repositories.offsite.path: is inside the directory of repositories.main: "
        "each repository needs a place of its own",
        "4: state: is inside the directory of repositories.main: name another directory",
        "4: state: is inside the directory of repositories.offsite: name another directory",
    ]


def names(root: Path, repository: Path, *, follow: bool = False) -> set[bytes]:
    recorder = MemoryRecorder()
    source = FileTreeSource(
        "tree", str(root), AheadClock(), follow_symlinks=follow, repositories=(str(repository), "/gone")
    )
    source.capture(recorder, CountingProgress())
    return set(recorder.paths)


def test_a_repository_in_the_tree_is_left_out_by_whatever_path(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "repo [#1]*!").mkdir(parents=True)
    (tree / "repo [#1]*!" / "pack").write_text("x")
    (tree / "file").write_text("x")
    (tree / "link").symlink_to("repo [#1]*!")
    (tmp_path / "elsewhere").symlink_to("tree/repo [#1]*!")
    assert names(tree, tmp_path / "elsewhere") == {b".", b"file", b"link"}
    assert names(tree, tmp_path / "elsewhere", follow=True) == {b".", b"file"}


@pytest.mark.parametrize("inside", ["", "sub"])
def test_a_tree_in_a_repository_by_another_name_is_refused(tmp_path: Path, inside: str) -> None:
    (tmp_path / "repository" / "sub").mkdir(parents=True)
    (tmp_path / "other").symlink_to("repository")
    with pytest.raises(SourceFormatError, match="not backed up into itself"):
        names(tmp_path / "other" / inside, tmp_path / "repository")


def test_a_database_in_a_repository_by_another_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "repository").mkdir()
    with closing(sqlite3.connect(tmp_path / "repository" / "shop.db")) as database:
        database.execute("CREATE TABLE t (a)")
    os.symlink("repository/shop.db", tmp_path / "shop.db")
    source = SqliteSource(
        "shop", str(tmp_path / "shop.db"), 5, AheadClock(), repositories=(str(tmp_path / "repository"),)
    )
    with pytest.raises(SourceFormatError, match="not backed up into itself"):
        source.capture(MemoryRecorder(), CountingProgress())
