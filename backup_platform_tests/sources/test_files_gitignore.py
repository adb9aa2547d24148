"""Exclude patterns, compared with what git makes of them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup_platform.errors import PlanError
from backup_platform.sources.files.gitignore import Rules

NAMES = ("a", "b", "ab", "a.b", ".a", "a-b", "B", "a]", "[a")
DIRECTORIES = ("", "a/", "b/", "a/b/", "a/b/a/", "ab/", "a.b/", "b/a.b/ab/")
PIECES = (
    "a",
    "b",
    "*",
    "**",
    "?",
    "/",
    "/",
    ".",
    "-",
    "[ab]",
    "[!a]",
    "[a-b]",
    "[^.]",
    "[]a]",
    "[[:upper:]]",
    "\\a",
)


def well_defined(pattern: str) -> bool:
    """gitignore(5) calls other asterisks in a row one asterisk; git itself does not always agree."""
    return all("**" not in name or name == "**" for name in pattern.removeprefix("!").split("/"))


PATTERNS = st.builds(
    lambda keeps, root, pieces, end: keeps + root + "".join(pieces) + end,
    st.sampled_from(("", "", "!")),
    st.sampled_from(("", "", "/", "**/", "a/")),
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=4),
    st.sampled_from(("", "", "/", "/**", "/*")),
).filter(lambda pattern: pattern.strip("!/") and well_defined(pattern))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("git")
    subprocess.run(["git", "init", "-q", root], check=True)
    for directory in DIRECTORIES:
        (root / directory).mkdir(parents=True, exist_ok=True)
    for directory in DIRECTORIES:
        for name in NAMES:
            if not (root / directory / name).is_dir():
                (root / directory / name).write_text("")
    return root


def kept_by_git(root: Path, patterns: list[str]) -> set[str]:
    (root / ".git/info/exclude").write_text("".join(f"{pattern}\n" for pattern in patterns))
    command: list[str] = [
        "git",
        "-C",
        os.fspath(root),
        "-c",
        "core.excludesFile=",
        "ls-files",
        "-z",
        "--others",
        "--exclude-standard",
    ]
    listed = subprocess.run(command, check=True, capture_output=True, text=True)
    return set(filter(None, listed.stdout.split("\0")))


def kept_by_rules(root: Path, patterns: list[str]) -> set[str]:
    rules, kept = Rules(patterns), set()
    for directory, names, files in os.walk(root):
        below = os.path.relpath(directory, root) + "/"
        below = "" if below == "./" else below
        names[:] = [n for n in names if below + n != ".git" and not rules.excludes(below + n, directory=True)]
        kept |= {below + n for n in files if not rules.excludes(below + n, directory=False)}
    return kept


@given(patterns=st.lists(PATTERNS, min_size=1, max_size=4))
def test_same_as_git(tree: Path, patterns: list[str]) -> None:
    assert kept_by_rules(tree, patterns) == kept_by_git(tree, patterns)


@pytest.mark.parametrize(
    "patterns",
    [
        ["a/**", "!a/b", "a/b/**"],
        ["/*", "!/a", "/a/*", "!/a/b"],
        ["*", "!*/", "!*.b"],
        ["**", "!a.b"],
        ["a/**/"],
        ["**/b/*.b"],
        ["a/**/a"],
        ["# comment", "", "   ", "a.b   "],
        ["*.b", "!a/"],
        ["[[:lower:]]"],
        ["\\[a", "a\\]"],
        ["[!a-b]"],
        ["?", "!/?/?"],
    ],
)
def test_same_as_git_where_it_is_known_to_be_hard(tree: Path, patterns: list[str]) -> None:
    assert kept_by_rules(tree, patterns) == kept_by_git(tree, patterns)


@pytest.mark.parametrize("pattern", ["!", "/", "[a", "a\\", "[[:nothing:]]", "[b-a]"])
def test_a_pattern_that_could_never_match_is_refused(pattern: str) -> None:
    with pytest.raises(PlanError, match="not valid"):
        Rules([pattern])


def test_names_with_line_breaks_and_unencodable_bytes() -> None:
    rules = Rules(["*.tmp", "odd?name"])
    assert rules.excludes("new\nline.tmp", directory=False)
    assert rules.excludes("\udcff.tmp", directory=False)
    assert rules.excludes("odd\nname", directory=True)
    assert not rules.excludes("a.tmp\n", directory=False)
