"""The structure that docs/architecture.md promises."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import json
import os
import pkgutil
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import backup_platform
from backup_platform import errors

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "backup_platform"
LONGEST = 500
DOCUMENTED_EXIT_CODES = {1, 2, 3, 10, 11, 12, 130}

KINDS = "Kinds of sources do not import each other"
ROOMS_OF_POSTGRES = "The rooms of the PostgreSQL source depend on each other in one direction"
ROOMS_OF_THE_REPOSITORY = "The rooms of the repository depend on each other in one direction"
SERVICES = "The services depend on each other in one direction"
RESCUE = "What rescues without this program imports nothing of it"

# (module that must not, the import, the contract that says so)
FORBIDDEN_IMPORTS = [
    ("repository/objects/names.py", "import backup_platform.stores", "Dependencies point inward"),
    ("sources/__init__.py", "import backup_platform.repository", "Dependencies point inward"),
    ("domain/model.py", "import backup_platform.plan", "Dependencies point inward"),
    ("actions/__init__.py", "import backup_platform.services", "Dependencies point inward"),
    ("services/bound.py", "import backup_platform.app", "Dependencies point inward"),
    ("services/points.py", "import backup_platform.services.proving", SERVICES),
    ("cli/__init__.py", "import backup_platform.orchestration", "Dependencies point inward"),
    ("orchestration/__init__.py", "import backup_platform.cli", "Dependencies point inward"),
    ("cli/__init__.py", "import dagster", "Everything below the orchestration works without Dagster"),
    ("app.py", "def late():\n    import dagster", "Everything below the orchestration works without Dagster"),
    ("domain/model.py", "import pyarrow", "The domain uses the standard library only"),
    ("sources/__init__.py", "import obstore", "Only stores speak to object stores"),
    ("actions/drill.py", "import backup_platform.sources.files", "Actions know no kind of source"),
    ("sources/files/__init__.py", "import backup_platform.sources.sqlite", KINDS),
    ("sources/tabular/__init__.py", "import backup_platform.sources.postgres", KINDS),
    ("app.py", "import backup_platform.testing", "Dependencies point inward"),
    ("sources/postgres/dump/toc.py", "import backup_platform.sources.postgres.restore", ROOMS_OF_POSTGRES),
    ("repository/records/holds.py", "import backup_platform.repository.repository", ROOMS_OF_THE_REPOSITORY),
    (
        "repository/objects/names.py",
        "import backup_platform.repository.records.marks",
        ROOMS_OF_THE_REPOSITORY,
    ),
    ("repository/encryption/age.py", "import backup_platform.repository.packs", ROOMS_OF_THE_REPOSITORY),
    ("repository/rescue.py", "import backup_platform.errors", RESCUE),
]


def lint_imports(root: Path) -> tuple[int, set[str], str]:
    """The exit status of the import contracts, those that are broken, and the report."""
    command = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    arguments = ["--no-logo", "--no-cache"]
    wide = {**os.environ, "COLUMNS": "400"}  # the names of modules are not broken
    done = subprocess.run(
        [sys.executable, "-c", command, *arguments],
        cwd=root,
        env=wide,
        capture_output=True,
        text=True,
        check=False,
    )
    report = done.stdout + done.stderr
    return done.returncode, set(re.findall(r"^(.+?) BROKEN", report, re.MULTILINE)), report


def test_the_import_contracts_are_kept() -> None:
    status, broken, report = lint_imports(ROOT)
    assert (status, broken) == (0, set()), report


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report on a copy of the package with every forbidden import at once: the graph is built once."""
    root = tmp_path_factory.mktemp("broken")
    copy_of_the_package(root)
    for module, forbidden, _ in FORBIDDEN_IMPORTS:
        with (root / "backup_platform" / module).open("a") as file:
            file.write(f"\n{forbidden}\n")
    status, _, report = lint_imports(root)
    assert status == 1, report
    return report


def copy_of_the_package(root: Path) -> None:
    shutil.copytree(PACKAGE, root / "backup_platform", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "setup.cfg", root)


@pytest.mark.parametrize(("module", "forbidden", "contract"), FORBIDDEN_IMPORTS)
def test_a_forbidden_import_breaks_its_contract(
    broken: str, module: str, forbidden: str, contract: str
) -> None:
    """The report has a part for each broken contract, underlined, and names there each import with its line."""
    importer = f"backup_platform/{module}".removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    imported = forbidden.split()[-1]
    lines = (PACKAGE / module).read_text().count("\n")
    (part,) = re.findall(
        rf"^{re.escape(contract)}\n-+\n(.*?)(?=^[^\n]+\n-+\n|\Z)", broken, re.MULTILINE | re.DOTALL
    )
    found = re.findall(rf"{re.escape(importer)} -> {re.escape(imported)} \(([^)]*)\)", part)
    assert any(int(line) > lines for places in found for line in re.findall(r"l\.(\d+)", places)), part


def test_a_module_of_no_layer_breaks_the_contract(tmp_path: Path) -> None:
    copy_of_the_package(tmp_path)
    (tmp_path / "backup_platform" / "of_no_layer.py").touch()
    status, found, report = lint_imports(tmp_path)
    assert (status, found) == (1, {"Dependencies point inward"}), report
    assert "of_no_layer" in report


IMPORT_WITHOUT = """
import importlib, json, sys

class Refuse:
    asked = []
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0].startswith("dagster"):
            self.asked.append(name)
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Refuse())
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
assert not Refuse.asked, Refuse.asked
assert not [name for name in sys.modules if name.startswith("dagster")]
"""


def modules_below_the_orchestration() -> list[str]:
    found = pkgutil.walk_packages([str(PACKAGE)], "backup_platform.")
    above = ("backup_platform.orchestration", "backup_platform.definitions")
    return sorted(module.name for module in found if not module.name.startswith(above))


def test_everything_below_the_orchestration_imports_without_dagster() -> None:
    names = modules_below_the_orchestration()
    assert {"backup_platform.domain.model", "backup_platform.app", "backup_platform.cli"} <= set(names)
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_WITHOUT, json.dumps(names)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


LOADED_BY = """
import json, sys
before = set(sys.modules)
import backup_platform
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""


def test_importing_the_package_loads_the_standard_library_only() -> None:
    """Dagster's tools import it in every project where it is installed."""
    done = subprocess.run([sys.executable, "-c", LOADED_BY], capture_output=True, text=True, check=True)
    assert set(json.loads(done.stdout)) - sys.stdlib_module_names == {"backup_platform"}


def project_files() -> list[Path]:
    """Every file of the work tree that is committed or would be."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    files = (ROOT / name.decode() for name in done.stdout.split(b"\0") if name)
    return [file for file in files if file.is_file()]


def test_no_module_is_longer_than_can_be_read_at_once() -> None:
    lengths = {
        str(file.relative_to(ROOT)): len(file.read_text().splitlines())
        for file in project_files()
        if file.suffix == ".py"
    }
    assert len(lengths) > 10
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST} == {}


MANY = 16


def test_no_folder_has_more_modules_than_a_reader_takes_in_at_once() -> None:
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    modules = {str(each.relative_to(PACKAGE)): len(list(each.glob("*.py"))) for each in folders}
    crowded = {name: count for name, count in modules.items() if count > MANY}
    assert crowded == {}


MAPPED_ABOVE = 12


def test_the_map_of_a_folder_has_all_that_is_in_it() -> None:
    """A folder with many modules says in `__init__.py` what each of them is for. Add a new module there."""
    wrong = {}
    for package in PACKAGE.rglob("__init__.py"):
        folder, text = package.parent, ast.get_docstring(ast.parse(package.read_text())) or ""
        mapped = set(re.findall(r"^ *(\w+(?:\.py|/))  +\S", text, re.MULTILINE))
        modules = {each.name for each in folder.glob("*.py")} - {"__init__.py"}
        there = modules | {f"{each.parent.name}/" for each in folder.glob("*/__init__.py")}
        if (mapped or len(modules) > MAPPED_ABOVE) and folder != PACKAGE and mapped != there:
            wrong[str(folder.relative_to(PACKAGE))] = sorted(mapped ^ there)
    assert wrong == {}


def test_the_name_of_a_class_means_one_thing() -> None:
    """Whoever reads it need not ask which one is meant."""
    found: dict[str, list[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(str(path.relative_to(PACKAGE)))
    assert len(found) > 300
    assert {name: places for name, places in found.items() if len(places) > 1} == {}


BY_ONE_THREAD = {
    "use_threads": {
        *("iter_batches", "read_row_group", "read_row_groups", "read_table", "to_pandas", "to_table"),
        "ParquetFile().read",
    },
    "pre_buffer": {"ParquetFile", "read_table"},
}


def test_parquet_is_read_by_the_calling_thread() -> None:
    """Arrow's threads keep what they read a moment longer than the call lasts. When that is a Python object and the
    interpreter ends meanwhile, they abort the process (apache/arrow #34314). Programs of the tests end soon, too."""
    threaded, found = [], 0
    for file in (
        each for each in project_files() if each.suffix == ".py" and not each.name.startswith("test_")
    ):
        for call in ast.walk(ast.parse(file.read_text())):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
                words = {word.arg: ast.unparse(word.value) for word in call.keywords}
                for option in (
                    option for option, names in BY_ONE_THREAD.items() if called(call.func) in names
                ):
                    found += 1
                    threaded += [] if words.get(option) == "False" else [(file.name, ast.unparse(call))]
    assert found >= 20
    assert threaded == []


def called(function: ast.Attribute) -> str:
    of_a_file = isinstance(function.value, ast.Call) and "ParquetFile" in ast.unparse(function.value.func)
    return f"{'ParquetFile().' if of_a_file else ''}{function.attr}"


# In pieces, so that this file does not find itself.
PRIVATE = [
    "(?<![A-Za-z0-9_.-])/" + "work/",
    "/tmp/" + "w/",
    "CONTRACT" + r"\.md",
    "/root/" + r"\.",
    r"pypi\." + "org",
    "files." + r"pythonhosted\.",
    "BEGIN [A-Z ]*PRIVATE" + " KEY",
]


def test_nothing_committed_tells_of_the_machine_it_was_written_on() -> None:
    pattern = re.compile("|".join(PRIVATE).encode())
    found = [(str(file), match) for file in project_files() if (match := pattern.search(file.read_bytes()))]
    assert found == []


def subclasses(parent: type[errors.BackupError]) -> Iterator[type[errors.BackupError]]:
    yield parent
    for child in parent.__subclasses__():
        yield from subclasses(child)


@pytest.fixture
def error_classes() -> list[type[errors.BackupError]]:
    for name in modules_below_the_orchestration():
        importlib.import_module(name)
    return [cls for cls in subclasses(errors.BackupError) if cls.__module__.startswith("backup_platform.")]


def test_every_error_has_its_own_code(error_classes: list[type[errors.BackupError]]) -> None:
    declared = [cls.__dict__.get("code") for cls in error_classes]
    assert None not in declared
    assert [code for code, count in Counter(declared).items() if count > 1] == []


def test_exit_codes_are_those_documented_and_each_means_one_thing(
    error_classes: list[type[errors.BackupError]],
) -> None:
    declared = [cls.__dict__["exit_code"] for cls in error_classes if "exit_code" in cls.__dict__]
    assert set(declared) == DOCUMENTED_EXIT_CODES
    shared = {code for code, count in Counter(declared).items() if count > 1}
    assert shared == {2, 12}, (
        "2: a wrong plan, wrong arguments. 12: the key does not fit, or it is another repository"
    )


def test_the_tree_of_errors_is_drawn_in_full(error_classes: list[type[errors.BackupError]]) -> None:
    """Only the command line has errors of its own: those that no other caller could handle."""
    drawn = set(re.findall(r"^[│├└─ ]*(\w+Error)\b", errors.__doc__ or "", re.MULTILINE))
    below_the_cli = {cls for cls in error_classes if not cls.__module__.startswith("backup_platform.cli.")}
    assert drawn == {cls.__name__ for cls in below_the_cli}
    assert {cls.__module__ for cls in below_the_cli} == {"backup_platform.errors"}


NO_ZONES_OF_THE_SYSTEM = """
from zoneinfo import ZoneInfo, TZPATH
assert TZPATH == (), TZPATH
ZoneInfo("Europe/Berlin")
"""


def test_time_zones_do_not_depend_on_the_machine() -> None:
    required = importlib.metadata.requires("backup-platform") or []
    assert [line for line in required if line.startswith("tzdata") and "extra" not in line]
    environment = {**os.environ, "PYTHONTZPATH": ""}
    subprocess.run([sys.executable, "-c", NO_ZONES_OF_THE_SYSTEM], env=environment, check=True)


def test_the_version_is_one() -> None:
    assert backup_platform.__version__ == importlib.metadata.version("backup-platform")


# The supervisor of a private server forks by itself: it knows nothing of the process that started it.
STARTING = {"sources/children.py", "sources/postgres/server/isolation/starting.py"}
_STARTERS = {"subprocess", "multiprocessing", "pty", "asyncio.subprocess"}
_FUNCTIONS = re.compile(r"(system|popen|fork|forkpty|posix_spawnp?|startfile|spawn\w+|exec(l|v)\w*)$")


def starts_of(tree: ast.AST) -> Iterator[str]:
    """What starts programs, or imports what does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name in _STARTERS)
        elif isinstance(node, ast.ImportFrom):
            names = {node.module or "", *(f"{node.module}.{name.name}" for name in node.names)}
            yield from names & _STARTERS
            yield from (
                name.name for name in node.names if node.module == "os" and _FUNCTIONS.match(name.name)
            )
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
            if _FUNCTIONS.match(node.attr):
                yield node.attr
        elif isinstance(node, ast.Name) and node.id == "ProcessPoolExecutor":
            yield node.id


def test_programs_are_started_in_one_place() -> None:
    """It gives them an environment of what they need, and nothing else."""
    found = {
        path.relative_to(PACKAGE).as_posix(): starts
        for path in PACKAGE.rglob("*.py")
        if (starts := set(starts_of(ast.parse(path.read_text()))))
    }
    assert found.keys() == STARTING, found


def test_what_starts_a_program_is_recognised() -> None:
    code = "import subprocess, os\nfrom os import system\nos.execve()\nfrom multiprocessing import Process\nos.stat()"
    assert set(starts_of(ast.parse(code))) == {"subprocess", "system", "execve", "multiprocessing"}
