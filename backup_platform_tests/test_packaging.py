"""The lock file, and what builds an environment from it."""

from __future__ import annotations

import ast
import re
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from scripts import make_venv

ROOT = Path(__file__).resolve().parent.parent
LOCK = (ROOT / "requirements.lock").read_text()
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())


def wanted() -> list[Requirement]:
    extras = PROJECT["project"]["optional-dependencies"]
    texts = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"]]
    texts += [text for name, of_extra in extras.items() if name != "all" for text in of_extra]
    return [Requirement(text) for text in [*texts, *PROJECT["build-system"]["requires"]]]


@pytest.mark.parametrize("requirement", wanted(), ids=str)
def test_the_lock_pins_a_version_that_the_project_allows(requirement: Requirement) -> None:
    pins = dict(re.findall(r"^([a-z0-9-]+)==([^ ;]+)", LOCK, re.MULTILINE))
    assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)])


@pytest.mark.parametrize("requirement", wanted(), ids=str)
def test_what_is_installed_is_what_the_project_allows(requirement: Requirement) -> None:
    """So the bounds are those of releases that the tests ran with."""
    assert requirement.specifier.contains(metadata.version(requirement.name))


# Of these we use more than what they document, or depend on how they do it.
INTERNALS = {
    "dagster": "instigators and the cache of partitions: orchestration/sensors",
    "pyarrow": "the pages and the footer that it writes: sources/tabular",
    "pyfastcdc": "where it cuts: fastcdc",
    "typer": "its classes of commands and groups: cli/program.py",
}


@pytest.mark.parametrize("name", INTERNALS)
def test_a_dependency_whose_internals_we_use_ends_before_its_next_release(name: str) -> None:
    """Next is the next major one, or minor where they begin with 0: that was not tested yet."""
    [requirement] = [each for each in wanted() if each.name == name]
    major, minor, *_ = Version(metadata.version(name)).release
    following = f"0.{minor + 1}" if major == 0 else str(major + 1)
    assert not requirement.specifier.contains(following)
    assert any(each.operator == "<" for each in requirement.specifier)


def test_whatever_is_private_is_of_a_dependency_with_such_a_bound() -> None:
    distributions = metadata.packages_distributions()
    found = set()
    for file in (ROOT / "backup_platform").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            private = {name.split(".")[0] for name in names if re.search(r"\._(?!_)", name)}
            found |= {name for module in private for name in distributions.get(module, [])}
    assert found == {"dagster"}
    assert found <= INTERNALS.keys()


def test_everything_in_the_lock_has_a_hash_and_nothing_says_where_from() -> None:
    lines = [line for line in LOCK.splitlines() if not line.lstrip().startswith("#")]
    assert lines
    for line in lines:
        assert re.fullmatch(r"[a-z0-9-]+==\S+( ; .+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?", line), line


def test_the_extra_named_all_holds_every_other_one() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    [everything] = extras["all"]
    assert Requirement(everything).extras == set(extras) - {"all"}


def test_the_pin_of_uv_is_taken_from_the_lock_with_its_hashes() -> None:
    first, *hashes = make_venv.pinned("uv")
    assert first.startswith("uv==")
    assert len(hashes) > 1
    assert all("--hash=sha256:" in line for line in hashes)


def test_an_environment_is_built_again_when_the_lock_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in make_venv.INPUTS:
        (tmp_path / name).write_text("one")
    monkeypatch.setattr(make_venv, "ROOT", tmp_path)
    before = make_venv.fingerprint()
    assert make_venv.fingerprint() == before
    for name in make_venv.INPUTS:
        (tmp_path / name).write_text("two")
        assert make_venv.fingerprint() != before
        (tmp_path / name).write_text("one")
