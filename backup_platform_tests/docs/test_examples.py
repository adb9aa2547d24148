"""Every command, plan and program of README and docs: run as a reader would, or named below with the reason.

Each page begins on a machine that has what its reader has: the plan and the recovery points of README, of an encrypted
repository for encryption.md, or nothing for copies.md. What an example may not find here (hosts, buckets, `/srv`) is
below the test's directory, see `scenes`.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from backup_platform import app
from backup_platform.errors import IncompleteError
from backup_platform.plan import Plan
from backup_platform_tests.cli.setup.test_plan_verbs import complaints
from backup_platform_tests.docs.extraction import Example, examples
from backup_platform_tests.docs.scenes import SHOP, Scene, told
from backup_platform_tests.sources.postgres.servers import Server, embedded_18, execute, running
from backup_platform_tests.support import ManualClock

pytestmark = pytest.mark.xdist_group("docs")  # one server for all of it
ROOT = Path(__file__).parents[2]
PAGES = ("README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
EXAMPLES = [example for page in PAGES for example in examples(page, (ROOT / page).read_text())]

NOT_RUN = {  # by page and first line
    ("README.md", "make demo"): "demo/ has a test of its own, and `make test` is what runs this one",
    ("README.md", "python3 -m venv"): "an environment of its own: test_install makes it",
    ("README.md", "pip wheel"): "an environment of its own: test_install makes it",
    ("README.md", "mkdir -p ~/dagster"): "a server: test_install loads what it would",
    ("README.md", "dg scaffold defs"): "a Dagster project: the tests of the component scaffold one",
    ("docs/architecture.md", "definitions"): "layers: the import contracts are this list",
    ("docs/command-line.md", "backup-platform [--plan FILE] VERB"): "the form of every command",
    ("docs/command-line.md", "backup-platform man | man -l -"): "a pager: test_manual reads the page",
    ("docs/command-line.md", "mkdir -p"): "the home directory: test_manual reads the page",
    ("docs/command-line.md", "error [source-missing]"): "output: test_failures has it",
    ("docs/command-line.md", '{"error"'): "output: test_failures has it",
    ("docs/command-line.md", '{"id"'): "output: test_points_verb has it",
    ("docs/dagster.md", "import dagster as dg"): "test_gates runs it",
    ("docs/dagster.md", "pip install"): "the registry, and a Dagster project",
    ("docs/dagster.md", "storage:"): "settings of a Dagster instance: the tests of orchestration load them",
    (
        "docs/coverage.md",
        "import dagster",
    ): "a code location: orchestration/assets/test_graph.py has the same",
    ("docs/kinds.md", '"""A kind of source'): "a distribution: test_other_distribution installs the same",
    ("docs/kinds.md", "[build-system]"): "a distribution: test_other_distribution installs the same",
    ("docs/kinds.md", "sources:"): "a kind that is not installed: test_other_distribution loads it",
    ("docs/kinds.md", "from dataclasses"): "tests of the kind: test_other_distribution has the same",
    ("docs/operations.md", "STATE"): "output: test_status_verb has its parts",
    ("docs/operations.md", "backup-platform status --watch"): "it ends with Ctrl-C: test_status_verb ends it",
    ("docs/rescue.md", "python3 -m venv"): "the registry",
    ("docs/stores.md", "from backup_platform.orchestration"): "AWS: test_credentials has it",
    ("docs/stores.md", '{"Version"'): "policies: test_policies asks a server with each",
}
ENDS = {  # with another exit code than 0
    ("README.md", "backup-platform status"): 1,  # nobody drilled `uploads` yet
    ("docs/repair.md", "backup-platform doctor"): 1,  # hours of `uploads` were missed the day before
    ("docs/coverage.md", "backup-platform coverage"): 3,  # the page is about a database that somebody made
}
LINES_NOT_RUN = {"pip install": "the registry"}
SOURCES = """
sources:
  shop: {postgres: "postgresql://backup@db.internal/shop", every: day}
  uploads: {files: /srv/uploads, every: day}
"""
PLAN_KEYS = {"repository", "repositories", "sources", "coverage"}


def not_run(example: Example) -> bool:
    return any(example.page == page and example.name.startswith(start) for page, start in NOT_RUN)


def plan_in(example: Example) -> dict[str, Any] | None:
    """What an example says of a plan; None when it is none."""
    if example.language not in ("", "yaml") or not_run(example) or "backup-platform" in example.name:
        return None
    try:
        found = yaml.safe_load(example.text)
    except yaml.YAMLError:
        return None
    return found if isinstance(found, dict) and PLAN_KEYS & found.keys() else None


def kind_of(example: Example) -> str:
    """Of what an example is made; empty when nobody knows how to run it."""
    if not_run(example):
        return "not run"
    if plan_in(example) is not None:
        return "plan"
    if example.language == "python":
        return "python"
    programs = ("backup-platform ", "age ", "zstd ", "head ", "for ", "psql ", "pg_restore ", "python rescue")
    starts = (*programs, "CREATE ROLE ", *LINES_NOT_RUN)
    return "commands" if all(line.startswith(starts) for line in example.commands) else ""


def test_every_example_is_run_or_named_with_the_reason() -> None:
    unknown = [f"{each.page}:{each.line}: {each.name}" for each in EXAMPLES if not kind_of(each)]
    assert not unknown
    unused = [
        (page, start)
        for page, start in NOT_RUN
        if not any(each.page == page and each.name.startswith(start) for each in EXAMPLES)
    ]
    assert not unused
    assert {each.page for each in EXAMPLES if kind_of(each) == "commands"} == {
        *READERS,
        *ENCRYPTED,
        "docs/commands.md",
        "docs/copies.md",
        "docs/coverage.md",
    }


@pytest.mark.parametrize(
    "example", [each for each in EXAMPLES if plan_in(each) is not None], ids=lambda e: f"{e.page}:{e.line}"
)
def test_plans(example: Example, tmp_path: Path) -> None:
    """Those that show a part only get the other one. Editors find nothing wrong with them either."""
    keys, rest = set(plan_in(example) or {}), ""
    if not {"repository", "repositories"} & keys:
        rest += "repository: {path: /var/backups/main}\n"
    if "sources" not in keys:
        rest += SOURCES
    (tmp_path / "backup.yaml").write_text(example.text + rest)
    Plan.load(str(tmp_path / "backup.yaml"))
    assert complaints(example.text + rest) == []


READERS = (
    "README.md",
    "docs/dagster.md",
    "docs/retention.md",
    "docs/query.md",
    "docs/postgres.md",
    "docs/restore.md",
    "docs/repair.md",
    "docs/prune.md",
    "docs/plan.md",
    "docs/operations.md",
)
ENCRYPTED = ("docs/encryption.md", "docs/rescue.md")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running(embedded_18()) as server:
        yield server


@pytest.fixture
def scene(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Scene:
    clock = ManualClock(datetime.fromisoformat("2026-11-21T12:00:00+00:00"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(app, "SystemClock", lambda: clock)
    monkeypatch.setenv("BACKUP_PLATFORM_PLAN", str(tmp_path / "backup.yaml"))
    monkeypatch.setenv("SMTP_PASSWORD", "secret")
    (tmp_path / "dagster").mkdir()
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    made = Scene(tmp_path, server, clock, capsys)
    made.make_sources()
    return made


def page(name: str) -> list[Example]:
    return [each for each in EXAMPLES if each.page == name and kind_of(each) in ("commands", "python")]


def plan_of(name: str, *, first: str = "") -> str:
    return next(e.text for e in EXAMPLES if e.page == name and plan_in(e) is not None and first in e.text)


def follow(scene: Scene, name: str, before: dict[str, Callable[[], object]]) -> None:
    """Run a page's examples in its order. `before` says what happens before a command that starts so, once."""
    waiting = dict(before)
    for example in page(name):
        if example.language == "python":
            run_program(scene, example)
            continue
        for command in (part for line in example.commands for part in line.split(" && ")):
            if command.startswith(tuple(LINES_NOT_RUN)):
                continue
            for start in [start for start in waiting if command.startswith(start)]:
                waiting.pop(start)()
            if command.startswith("CREATE ROLE "):
                execute(scene.server.url(), command)
                continue
            code, text = scene.run(command)
            expected = ENDS.get((name, command), 0)
            assert code == expected, f"{example.page}:{example.line}: {told(command, code, text)}"
    assert not waiting, "no command of the page starts so any more"


def run_program(scene: Scene, example: Example) -> None:
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(example.text, f"{example.page}:{example.line}", "exec", dont_inherit=True), names)
    made = names["revenue"]
    with dg.DagsterInstance.ephemeral() as instance:
        done = dg.materialize([made], partition_key="2026-11-21", instance=instance)
    (event,) = done.get_asset_materialization_events()
    assert event.materialization.metadata["revenue"].value == sum(1.5 * n for n in range(2, 201, 2))


def must(scene: Scene, *commands: str) -> None:
    for command in commands:
        code, text = scene.run(command)
        assert code == 0, told(command, code, text)


def next_day(scene: Scene) -> None:
    scene.clock.advance(days=1)
    execute(scene.server.url(shop_of(scene)), "update orders set status = 'sent' where id = 3")
    must(scene, "backup-platform backup", "backup-platform copy")


def shop_of(scene: Scene) -> str:
    return f"{scene.root.name}_db_internal_shop"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what apprise imports
def test_a_reader_follows_the_pages(scene: Scene) -> None:
    """From nothing to a restore in the night, with the plan of README."""
    (scene.root / "backup.yaml").write_text(scene.here(plan_of("README.md")))
    scene.make_database("postgresql://backup@db.internal/shop", *SHOP)
    follow(
        scene,
        "README.md",
        {
            "backup-platform copy": lambda: must(scene, "backup-platform init --repository offsite"),
            "backup-platform doctor": lambda: must(scene, "backup-platform drill uploads@latest"),
            "backup-platform ls uploads@latest": lambda: next_day(scene),
        },
    )
    follow(scene, "docs/operations.md", {})
    follow(scene, "docs/dagster.md", {})
    scene.changes = {"[SOURCE] [--explain]": "shop --explain", "[SOURCE]": "uploads", "SOURCE": "uploads"}
    follow(scene, "docs/retention.md", {})
    follow(scene, "docs/query.md", {})
    scratch = "postgresql://db2.internal/scratch"
    follow(
        scene,
        "docs/postgres.md",
        {
            "CREATE ROLE": lambda: None,
            "backup-platform restore": lambda: execute(
                scene.server.url(), f'drop database "{scene.root.name}_db2_internal_shop"', "drop role backup"
            ),
            "backup-platform restore shop@latest --into postgresql://db2.internal/scratch": lambda: (
                scene.make_database(scratch)
            ),
        },
    )
    at_night(scene)
    scene.changes = {"SOURCE": "uploads"}
    follow(scene, "docs/repair.md", {})
    follow(scene, "docs/prune.md", {})
    emptied(scene)
    follow(scene, "docs/plan.md", {})


def emptied(scene: Scene) -> None:
    """A suspect point, for a reader who knows why."""
    shutil.rmtree(scene.root / "srv" / "uploads" / "invoices")
    scene.clock.advance(hours=1)
    code, text = scene.run("backup-platform backup uploads")
    assert code == IncompleteError.exit_code, text
    scene.changes = {"POINT": "uploads@2026-11-22T13:00"}


def at_night(scene: Scene) -> None:
    """docs/restore.md, where the table `orders` was dropped."""
    shutil.rmtree(scene.root / "srv" / "restored")
    repository = scene.root / "var" / "backups" / "main"
    pack = next(repository.glob("packs/*/*")).relative_to(repository)
    living = "postgresql://dba@db/shop"
    scene.changes = {
        "POINT": "shop@2026-11-21",
        "sales@": "shop@",
        "manifests/*/0000000007": f"{repository}/manifests/*/0000000001",
        "packs/3f/3fa9…": f"{repository}/{pack}",
    }
    scene.make_database(living, *SHOP, "drop table orders")
    scene.make_database("postgresql://dba@db2/scratch")
    scene.make_database("postgresql://dba@db2/definitions")
    follow(
        scene,
        "docs/restore.md",
        {
            "psql postgresql://dba@db/shop": lambda: execute(
                re.sub(r"^.*?//", "postgresql://", scene.here(living)), "delete from orders where id < 100"
            )
        },
    )


def test_a_reader_finds_what_is_in_no_source(scene: Scene) -> None:
    plan = "repository: {path: /var/backups/main}\n" + SOURCES + plan_of("docs/coverage.md")
    (scene.root / "backup.yaml").write_text(scene.here(plan.replace("/srv ", "/srv/uploads/.. ")))
    scene.make_database("postgresql://backup@db.internal/shop", *SHOP)
    scene.make_database("postgresql://backup@db.internal/invoices")
    follow(scene, "docs/coverage.md", {})
    code, text = scene.run("backup-platform coverage")
    assert code == IncompleteError.exit_code
    assert f"database '{scene.root.name}_db_internal_invoices' of PostgreSQL" in text
    assert "could not be looked at" not in text


def test_a_reader_backs_up_the_output_of_programs(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plans of the page in one. Each program is a script that needs the secrets that the page gives it."""
    plans = [e.text for e in EXAMPLES if e.page == "docs/commands.md" and plan_in(e) is not None]
    sources = {name: source for text in plans for name, source in yaml.safe_load(text)["sources"].items()}
    plan = {"repository": {"path": "/var/backups/main"}, "sources": sources}
    (scene.root / "backup.yaml").write_text(scene.here(yaml.safe_dump(plan)))
    make_programs(scene)
    monkeypatch.setenv("PATH", f"{scene.root}/bin:{os.environ['PATH']}")
    must(scene, "backup-platform init", "backup-platform backup")
    follow(scene, "docs/commands.md", {})
    must(scene, *(f"backup-platform drill {name}@latest" for name in sources))
    assert (scene.root / "tmp" / "dump.rdb").read_bytes().startswith(b"secret")


def make_programs(scene: Scene) -> None:
    (scene.root / "bin").mkdir()
    for secret in ("redis", "mysql"):
        (scene.root / "run" / "secrets" / secret).write_text("secret\n")
    dump = 'printf "%%s%%30000s\\ndn: dc=example,dc=org\\n-- Dump completed\\n" "$%s"'
    programs = {
        "redis-cli": dump % "REDISCLI_AUTH",
        "mysqldump": dump % "MYSQL_PWD",
        "mongodump": dump % "HOME",
        "ldapsearch": dump % "HOME",
        "etcdctl": f'({dump % "ETCDCTL_KEY"}) > "$3"',
        "redis-check-rdb": 'test -s "$1"',
        "etcdutl": 'test -s "$3"',
        **dict.fromkeys(("mongorestore", "mysql", "slapadd"), "grep -q completed"),
    }
    for name, script in programs.items():
        path = scene.root / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)


def test_a_reader_makes_copies(scene: Scene) -> None:
    text = (
        plan_of("docs/copies.md")
        .replace(", key_file: /etc/backup/key", "")
        .replace("region: eu-central-1", "")
    )
    (scene.root / "backup.yaml").write_text(scene.here(text.replace(", }", "}")))
    scene.make_database("postgresql://backup@db/shop", *SHOP)
    scene.changes = {"[SOURCE|POINT]… [--to NAME] [--dry-run]": "shop --to offsite --dry-run"}
    follow(
        scene,
        "docs/copies.md",
        {"backup-platform init --from": lambda: shutil.rmtree(scene.root / "mnt" / "backup" / "main")},
    )


def public_key(identity: Path) -> str:
    found = re.search(r"age1[0-9a-z]+", identity.read_text())
    assert found is not None
    return found[0]


def test_a_reader_encrypts_and_is_rescued(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    (scene.root / "backup.yaml").write_text(scene.here(plan_of("docs/encryption.md") + SOURCES))
    scene.make_database("postgresql://backup@db.internal/shop", *SHOP)
    first, second = (scene.root / "media" / usb / "identity.txt" for usb in ("usb-1", "usb-2"))

    def set_up() -> None:
        scene.clock.advance(days=1)
        given = " ".join(f"--recipient {public_key(each)}" for each in (first, second))
        must(scene, f"backup-platform init {given}", "backup-platform backup")

    def with_identity() -> None:
        monkeypatch.setenv("BACKUP_PLATFORM_IDENTITY_FILE", str(first))
        scene.changes = {
            "age1new…": public_key(scene.root / "new-identity.txt"),
            "age1leaked…": public_key(second),
        }

    def by_hand() -> None:
        repository = scene.root / "buckets" / "backups" / "main"
        pack = max(repository.glob("packs/*/*"), key=lambda path: path.stat().st_size)
        scene.changes = {"packs/3f/3fa9…": str(pack), "identity.txt": str(first)}

    follow(
        scene,
        "docs/encryption.md",
        {
            "backup-platform key generate new-identity.txt": set_up,
            "backup-platform key add": with_identity,
            "age -d": by_hand,
        },
    )
    shutil.copytree(scene.root / "buckets" / "backups" / "main", scene.root / "rescue" / "repository")
    scene.copy_rescue()
    scene.changes = {"identity.txt": str(first)}
    follow(scene, "docs/rescue.md", {})
    assert (scene.root / "rescue" / "uploads" / "invoices" / "2026" / "0043.pdf").read_text() == "forty-three"
    assert os.listdir(scene.root / "rescue" / "shop")
