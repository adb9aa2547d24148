"""A kind of source in a distribution of its own, installed as any other: nothing of this package knows it."""

from __future__ import annotations

import inspect
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import backup_platform.sources
from backup_platform.app import App
from backup_platform.kinds import registry
from backup_platform.orchestration.build import build_definitions
from backup_platform.orchestration.translator import BackupTranslator
from backup_platform.plan import Plan
from backup_platform.testing import SourceContract, Subject
from backup_platform_tests.cli.conftest import Verbs

DISTRIBUTION = Path(__file__).parent / "notes_distribution"
MODULE = "backup_platform_notes"
DOCS = Path(__file__).parents[1] / "docs"
INSTALL = ["pip", "install", "--quiet", "--offline", "--no-deps", "--no-build-isolation", "--target"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the distribution is installed, with its entry point."""
    copy, site = tmp_path_factory.mktemp("notes") / "sources", tmp_path_factory.mktemp("site")
    shutil.copytree(DISTRIBUTION, copy)
    command = [sys.executable, "-m", "uv", *INSTALL, str(site), str(copy)]
    subprocess.run(command, check=True, capture_output=True)
    return site


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(site)
    registry.forget()
    yield
    monkeypatch.undo()
    sys.modules.pop(MODULE, None)
    registry.forget()


@dataclass
class Notes:
    path: Path

    @property
    def settings(self) -> str:
        return f"notes: {self.path}"

    @property
    def nowhere(self) -> str:
        return f"notes: {self.path}.gone"

    def change(self) -> None:
        self.path.write_text(self.path.read_text() + "one more\n")


@pytest.mark.usefixtures("installed")
class TestNotes(SourceContract):
    @pytest.fixture
    def subject(self, tmp_path: Path) -> Subject:
        (tmp_path / "notes.txt").write_text("buy milk\ncall Ada\n")
        return Notes(tmp_path / "notes.txt")


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], installed: None) -> Verbs:
    plan = tmp_path / "backup.yaml"
    plan.write_text(
        "repository: {path: repository}\nstate: state\nsources:\n"
        "  mine: {notes: notes.txt, every: day, longest: 5}\n"
    )
    (tmp_path / "notes.txt").write_text("buy milk\ncall Ada\n")
    return Verbs(capsys, plan)


def test_it_is_used_like_those_of_this_package(run: Verbs, tmp_path: Path) -> None:
    assert run("plan", "check", "--json", code=0).document["sources"] == [{"name": "mine", "kind": "notes"}]
    assert "NotesSource" in run("plan", "schema", "--json", code=0).document["$defs"]
    run("init", code=0)
    assert "ok    source mine: 2 notes" in run("doctor").out
    run("backup", code=0)
    assert "mine (notes)" in run("show", "mine@latest", code=0).out
    run("drill", "mine@latest", code=0)
    run("restore", "mine@latest", "--to", str(tmp_path / "restored"), code=0)
    assert (tmp_path / "restored" / "note-000002").read_text() == "call Ada"
    assert "cannot be restored into a server" in run("restore", "mine@latest", "--into", "x", code=2).err
    (tmp_path / "notes.txt").unlink()
    assert "There are no notes at" in run("doctor", code=1).out


def test_it_is_an_asset_with_checks_of_its_own(run: Verbs, tmp_path: Path) -> None:
    run("init", code=0)
    run("backup", code=0)
    app = App.load(str(tmp_path / "backup.yaml"))
    definitions = build_definitions(BackupTranslator(app))
    graph = definitions.resolve_asset_graph()
    (asset,) = [key for key in graph.materializable_asset_keys if key.path[-1] == "mine"]
    assert graph.get(asset).kinds == {"notes", "backup"}
    assert {key.name for key in graph.get_check_keys_for_assets({asset})} >= {
        "stored",
        "drill",
        "notes_are_short",
    }
    made = {check.name: check for check in app.proofs.checks(app.points.find("mine@latest"))}
    assert made["notes_are_short"].summary == "['note 1 has 8 bytes', 'note 2 has 8 bytes']"


def test_a_mistake_in_its_keys_is_told_with_those_of_others(run: Verbs, tmp_path: Path) -> None:
    plan = tmp_path / "backup.yaml"
    plan.write_text(plan.read_text().replace("longest: 5", "longst: 5, jobs: 2, retries: -1"))
    told = run("plan", "check", "--json", code=2).document["problems"]
    assert [line.partition(": ")[2] for line in told] == [
        "sources.mine: `jobs` belongs to sources with `postgres`, not with `notes`",
        "sources.mine.retries: must be at least 0",
        'sources.mine: unknown key "longst"; did you mean "longest"?',
    ]


def test_a_folder_of_this_package_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table "Where to put something new" of docs/architecture.md says so."""
    folder = tmp_path / "sources" / "notes"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    shutil.copy(DISTRIBUTION / f"{MODULE}.py", folder / "kind.py")
    monkeypatch.setattr(
        backup_platform.sources, "__path__", [*backup_platform.sources.__path__, str(folder.parent)]
    )
    registry.forget()
    try:
        assert "notes" in registry.built_in()
        plan = tmp_path / "backup.yaml"
        plan.write_text(f"repository: {{path: r}}\nsources: {{a: {{notes: {plan}, every: day}}}}\n")
        Verbs(capsys, plan)("plan", "check", code=0)
    finally:
        monkeypatch.undo()
        for name in [name for name in sys.modules if name.startswith("backup_platform.sources.notes")]:
            del sys.modules[name]
        registry.forget()


@pytest.mark.usefixtures("installed")
def test_the_documentation_shows_what_is_tested_here(tmp_path: Path) -> None:
    shown = (DOCS / "kinds.md").read_text()
    texts = [(DISTRIBUTION / name).read_text() for name in (f"{MODULE}.py", "pyproject.toml")]
    contract = "class TestNotes" + inspect.getsource(TestNotes).partition("class TestNotes")[2]
    for text in (*texts, inspect.getsource(Notes), contract):
        assert text in shown, text
    (plan,) = re.findall(r"^```yaml\n(.*?)^```", shown, re.MULTILINE | re.DOTALL)
    (tmp_path / "backup.yaml").write_text("repository: {path: r}\n" + plan)
    assert Plan.load(str(tmp_path / "backup.yaml")).sources["mine"].kind == "notes"
