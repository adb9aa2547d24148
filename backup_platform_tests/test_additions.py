"""Where docs/architecture.md says to put something new: that is enough for users to see it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from backup_platform.cli.verbs import GROUPS, VERBS
from backup_platform.domain.keep.retention import KeepRules
from backup_platform.plan import KeepConfig
from backup_platform_tests import additions_child
from backup_platform_tests.additions import ADDITIONS
from backup_platform_tests.test_architecture import PACKAGE, ROOT, copy_of_the_package

DOCS = ROOT / "docs"
ELSEWHERE = {  # row: the test that makes the change, or why none does
    "source": "test_other_distribution.py",
    "engine": "the contracts of imports keep what is there free of engines",
}


def rows() -> dict[str, str]:
    """What is to be edited, by what is to be added."""
    table = (DOCS / "architecture.md").read_text().partition("## Where to put something new")[2]
    found = re.findall(r"^\| [^|]*\*\*([a-z ]+)\*\*[^|]* \| ([^|]*) \|", table, re.MULTILINE)
    return dict(found)


def named(row: str) -> tuple[set[str], set[str]]:
    """The modules and the folders that a row names."""
    words = [word for word in re.findall(r"`([a-z_/.]+)`", rows()[row]) if (PACKAGE / word).exists()]
    return {word for word in words if word.endswith(".py")}, {word for word in words if "." not in word}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What users see of all additions at once."""
    root = tmp_path_factory.mktemp("additions")
    copy_of_the_package(root)
    for edits in ADDITIONS.values():
        for edit in edits:
            edit.apply(root / "backup_platform")
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{ROOT}"}
    command = [sys.executable, additions_child.__file__, str(root)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_every_row_is_tried() -> None:
    assert rows().keys() == ADDITIONS.keys() | ELSEWHERE.keys()


@pytest.mark.parametrize("row", ADDITIONS)
def test_only_what_the_row_names_is_edited(row: str) -> None:
    modules, folders = named(row)
    edited = {edit.file for edit in ADDITIONS[row]}
    elsewhere = {
        file for file in edited - modules if not any(str(each) in folders for each in Path(file).parents)
    }
    assert elsewhere == set()
    assert modules - edited == set(), "the row names more than the change needs"


def test_a_verb(seen: dict[str, Any]) -> None:
    code, out, _ = seen["age docs@latest --json"]
    assert (code, json.loads(out)["age_s"] >= 0) == (0, True)
    restore = seen["--help"][1].partition("\nRestore and look:\n")[2].partition("\n\n")[0]
    assert "  age           Show how old a recovery point is.\n" in restore
    assert '.SS "backup\\-platform age POINT' in seen["man"][1]
    assert seen["offered"].split() == ["age"]


def test_a_check(seen: dict[str, Any]) -> None:
    assert seen["dagster"]["checks"] == ["stored", "complete", "named", "authentic", "drill"]


def test_a_retention_rule(seen: dict[str, Any]) -> None:
    [point] = json.loads(seen["retention --explain --json"][1])["points"]
    assert "newest of quarter 1 of 3" in point["reasons"]


def test_the_plan_has_each_retention_rule() -> None:
    """They are declared twice, because the domain knows no plans."""
    planned = {name: field.default for name, field in KeepConfig.model_fields.items()}
    assert planned == {field.name: field.default for field in fields(KeepRules)}


def test_an_alert_channel(seen: dict[str, Any]) -> None:
    assert seen["alerted"] == ["docs: The backup failed"]
    [found] = [each for each in json.loads(seen["doctor --json"][1])["findings"] if each["name"] == "alerts"]
    assert (found["ok"], found["detail"]) == (True, "pager://")


def test_a_store(seen: dict[str, Any]) -> None:
    code, out, _ = seen["init"]
    assert (code, "Made repository" in out) == (0, True)
    [found] = [each for each in json.loads(seen["doctor --json"][1])["findings"] if each["name"] == "store"]
    assert found["ok"]


def test_a_number(seen: dict[str, Any]) -> None:
    assert seen["dagster"]["metadata"]["sequence"] == 1


def test_a_metric(seen: dict[str, Any]) -> None:
    code, out, _ = seen["metrics --json"]
    assert code == 0
    [drills] = [each for each in json.loads(out)["metrics"] if each["name"] == "backup_platform_drills"]
    assert [(each["labels"]["source"], each["value"]) for each in drills["samples"]] == [("docs", 1)]


def test_a_message(seen: dict[str, Any]) -> None:
    code, _, err = seen["accept docs@latest --reason because"]
    assert code == 2
    assert "error [reason-empty]: The reason says nothing." in err
    assert re.search(r"backup-platform --plan \S+/backup.yaml show docs@latest. shows what it lacks", err)
    error = json.loads(seen["accept docs@latest --reason because --json"][1])["error"]
    assert (error["code"], error["subject"]) == ("reason-empty", "docs@latest")


def test_the_documentation_has_each_verb() -> None:
    text = (DOCS / "command-line.md").read_text()
    verbs = [*VERBS, *(f"{group} {verb}" for group, (_, verbs) in GROUPS.items() for verb in verbs)]
    assert [verb for verb in verbs if not re.search(rf"`{verb}[` ]", text)] == []
