"""The manual page, as the program `man` reads it, and how `--help` groups the verbs."""

from __future__ import annotations

import re
import subprocess

import pytest

from backup_platform import __version__
from backup_platform.cli.verbs import GROUPS, PANELS, VERBS
from backup_platform_tests.cli.conftest import Cli

ALL = [*VERBS, *(f"{group} {verb}" for group, (_, verbs) in GROUPS.items() for verb in verbs)]


def mandoc(page: str, *options: str) -> str:
    done = subprocess.run(["mandoc", *options], input=page, capture_output=True, text=True, check=False)
    return re.sub(".\b", "", done.stdout) + done.stderr


@pytest.fixture
def page(cli: Cli) -> str:
    ran = cli("man")
    assert ran.code == 0
    return ran.out


def test_the_page_is_sound(page: str) -> None:
    complaints = [line for line in mandoc(page, "-T", "lint", "-W", "warning").splitlines() if line]
    assert [line for line in complaints if "missing date" not in line] == []


def test_the_page_has_every_verb_with_its_options_and_no_other_text_than_the_help(
    cli: Cli, page: str
) -> None:
    shown = " ".join(mandoc(page, "-T", "utf8").split())
    for verb in ALL:
        assert f"backup-platform {verb} " in shown
        told = cli(*verb.split(), "--help").out
        for option in re.findall(r"^  (?:-\w, )?(--[a-z-]+)", told, re.MULTILINE):
            assert f"{option} " in shown
        first = re.split(r"\n\s*\n", told)[1].replace("`", "")
        assert " ".join(first.split()) in shown


def test_the_page_has_the_exit_codes_the_version_and_the_environment(page: str) -> None:
    shown = mandoc(page, "-T", "utf8")
    for text in ("130  interrupted", f"backup-platform {__version__}", "BACKUP_PLATFORM_IDENTITY_FILE"):
        assert text in shown


def test_options_that_all_verbs_share_stand_in_the_page_once(page: str) -> None:
    assert mandoc(page, "-T", "utf8").count("--repository NAME") == 1


def test_the_page_as_json(cli: Cli, page: str) -> None:
    assert cli("man", "--json").document == {"page": page.rstrip("\n")}


def test_every_verb_is_in_one_panel_of_the_help(cli: Cli) -> None:
    named = [name for names in PANELS.values() for name in names]
    assert sorted(named) == sorted([*VERBS, *GROUPS])
    told = cli("--help").out
    places = [told.index(f"\n{title}:\n") for title in PANELS]
    assert places == sorted(places)
    for title, names in PANELS.items():
        panel = told.partition(f"\n{title}:\n")[2].partition("\n\n")[0]
        assert re.findall(r"^  ([a-z-]+)  ", panel, re.MULTILINE) == list(names)


def test_the_help_shows_arguments_as_manuals_do(cli: Cli) -> None:
    assert "Usage: backup-platform restore [OPTIONS] POINT [PATH]...\n" in cli("restore", "--help").out
    assert "\n  POINT  SOURCE@latest" in cli("restore", "--help").out
