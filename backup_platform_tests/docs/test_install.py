"""The commands of README that install: run as written in a copy of the checkout, with the packages of this machine.

Nothing is fetched. What the new environment would take from the registry it finds in this one, the build backend too.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sysconfig
from collections.abc import Sequence
from pathlib import Path

import pytest

from backup_platform import __version__
from backup_platform_tests.docs.extraction import examples

ROOT = Path(__file__).parents[2]
PACKAGED = ("pyproject.toml", "README.md", "LICENSE", "backup_platform")
OFFLINE = {
    "PIP_NO_INDEX": "1",
    "PIP_NO_BUILD_ISOLATION": "0",  # pip reads 0 as "do not isolate"
    "PIP_NO_COMPILE": "1",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
}
SITE = "import sysconfig; print(sysconfig.get_path('purelib'))"
PLAN = "repository: {path: repository}\nsources: {uploads: {files: uploads, every: day}}\n"


def commands(start: str) -> list[str]:
    page = examples("README.md", (ROOT / "README.md").read_text())
    return next(each.commands for each in page if each.name.startswith(start))


def shell(lines: Sequence[str], directory: Path) -> str:
    """Standard output of the lines as one script, which ends at the first failure."""
    environment = {
        **os.environ,
        **OFFLINE,
        "HOME": str(directory / "home"),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
    }
    done = subprocess.run(
        ["bash", "-ec", "\n".join(lines)],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("checkout")
    for name in PACKAGED:
        of = ROOT / name
        if of.is_dir():
            shutil.copytree(of, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(of, root / name)
    return root


def test_the_commands_of_readme_install_the_package(checkout: Path) -> None:
    make, activate, install, *checks = commands("python3 -m venv")
    lend = f'echo {sysconfig.get_path("purelib")} > "$(python -c "{SITE}")"/lent.pth'
    assert shell([make, activate, lend, install, *checks], checkout).endswith(
        f"backup-platform {__version__}\n"
    )
    programs = shell([activate, "type -P backup-platform pip", *commands("pip wheel")], checkout)
    assert str(checkout / "backup-env" / "bin" / "backup-platform") in programs
    assert [each.name for each in (checkout / "dist").iterdir()] == [
        f"backup_platform-{__version__}-py3-none-any.whl"
    ]


def test_dg_finds_the_backups_of_the_plan_in_the_checkout(checkout: Path) -> None:
    """What `dg dev` loads, without its server."""
    *settings, start = commands("mkdir -p ~/dagster")
    assert start == "dg dev"
    (checkout / "home").mkdir(exist_ok=True)
    (checkout / "home" / "backup.yaml").write_text(PLAN)
    path = f'PATH="{sysconfig.get_path("scripts")}:$PATH" PYTHONPATH="{checkout}"'
    listed = json.loads(shell([*settings, f"export {path}", "dg list defs --json"], checkout))
    assert "backups/uploads" in {each["asset_key"] for each in listed["assets"]}
