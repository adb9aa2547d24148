"""`metrics`: the page that Prometheus reads, of states that were made up and of a real plan."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

import pytest
import yaml

from backup_platform.cli.watch.series import families
from backup_platform.domain.coverage import Coverage, CoverageFinding, CoverageGap, PlaceCoverage
from backup_platform.domain.status.objectives import Objective
from backup_platform.domain.status.outline import PointOutline
from backup_platform.domain.status.values import PlanStatus, RepositoryStatus, SourceStatus
from backup_platform.domain.status.words import (
    RepositoryFinding,
    RepositoryState,
    SourceFinding,
    SourceState,
)
from backup_platform.domain.windows.health import MissedWindows
from backup_platform_tests.cli.conftest import Cli, Verbs
from backup_platform_tests.cli.fake import NOON, make_point

ROOT = Path(__file__).parents[3]
RULES = ROOT / "deploy" / "prometheus" / "backup_platform.rules.yml"
SECRET = "hunter2"
PLAN = """\
repositories:
  main: {path: main}
  offsite: {path: offsite, place: elsewhere}
state: state
rpo: 26h
sources:
  docs: {files: srv/docs, every: day, rto: 1h, repositories: [main, offsite]}
  mail: {files: srv/mail, every: day}
coverage:
  around: {files: srv}
  away: {files: gone}
"""
POINT = replace(PointOutline.of(make_point()), captured_at=NOON - timedelta(hours=3))
NONE_MISSED = MissedWindows(None, (), ())

Series: TypeAlias = dict[tuple[str, str, str], float]

SAMPLE = re.compile(r'([a-z_]+)\{((?:[a-z]+="(?:[^"\\\n]|\\[\\n"])*",?)+)\} (-?[0-9.e+]+)')
LABEL = re.compile(r'([a-z]+)="((?:[^"\\\n]|\\[\\n"])*)"')
ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


def samples(page: str) -> list[tuple[str, dict[str, str], float]]:
    """The samples of a page. Fails where it is not what version 0.0.4 of the format allows."""
    found: list[tuple[str, dict[str, str], float]] = []
    assert page.endswith("\n")
    told: list[str] = []
    for line in page.split("\n")[:-1]:
        if line.startswith("# HELP "):
            told.append(line.split(" ")[2])
            assert re.fullmatch(r"# HELP [a-z_]+ [A-Z].*\.", line)
        elif line.startswith("# TYPE "):
            assert line == f"# TYPE {told[-1]} gauge"
        else:
            parsed = SAMPLE.fullmatch(line)
            assert parsed, line
            assert parsed[1] == told[-1]
            labels = {
                name: re.sub(r"\\.", lambda e: ESCAPES[e[0]], text) for name, text in LABEL.findall(parsed[2])
            }
            found.append((parsed[1], labels, float(parsed[3])))
    assert len(told) == len(set(told))
    return found


def series(page: str) -> Series:
    """(metric without prefix, subject, state) -> value."""
    found: Series = {}
    for name, labels, value in samples(page):
        subject = next((labels[each] for each in ("source", "repository", "place") if each in labels), "")
        key = (name.removeprefix("backup_platform_"), subject, labels.get("state", ""))
        assert key not in found
        found[key] = value
    return found


def of(found: Series, subject: str) -> dict[str, float]:
    return {name: value for (name, about, state), value in found.items() if about == subject and not state}


def state_of(found: Series, name: str, subject: str) -> str:
    """The one state that is 1, among all that there are."""
    words = {
        state: value for (metric, about, state), value in found.items() if (metric, about) == (name, subject)
    }
    assert set(words) == set(SourceState if name == "state" else RepositoryState)
    (current,) = [state for state, value in words.items() if value == 1]
    assert sum(words.values()) == 1
    return current


def source(name: str, state: SourceState = SourceState.FINE, **changes: object) -> SourceStatus:
    findings = () if state is SourceState.FINE else (SourceFinding(state, f"password={SECRET}"),)
    status = SourceStatus(name, "files", findings, Objective(), Objective())
    return replace(status, **changes)  # type: ignore[arg-type]


def look(cli: Cli, *sources: SourceStatus, repositories: Iterable[RepositoryStatus] = ()) -> str:
    cli.app.answers["look"] = PlanStatus(NOON, sources, tuple(repositories))
    ran = cli("metrics")
    assert (ran.code, ran.err) == (0, "")
    return ran.out


def test_what_is_not_known_is_not_made_up(cli: Cli) -> None:
    found = series(
        look(
            cli,
            source("new", SourceState.NEVER, missed=NONE_MISSED),
            source("away", SourceState.UNKNOWN),
            repositories=[
                RepositoryStatus("main", "/main", (RepositoryFinding(RepositoryState.AWAY, "away"),))
            ],
        )
    )
    zero = ("missed_windows", "late_windows", "points", "suspect_points", "copies")
    assert of(found, "new") == {"bad": 1, **dict.fromkeys(zero, 0)}
    assert of(found, "away") == {"bad": 1}
    assert of(found, "main") == {"repository_bad": 1}
    assert state_of(found, "state", "new") == "never"
    assert state_of(found, "state", "away") == "unknown"
    assert state_of(found, "repository_state", "main") == "away"


def test_what_was_measured(cli: Cli) -> None:
    proven = replace(POINT, captured_at=NOON - timedelta(days=1))
    status = source(
        "shop",
        last=POINT,
        proven=proven,
        proven_at=NOON - timedelta(minutes=90),
        points=7,
        suspect=(POINT,),
        missed=MissedWindows(POINT.window, (POINT.window,), (POINT.window,) * 3),
        rpo=Objective(timedelta(hours=3), timedelta(hours=26)),
        rto=Objective(timedelta(seconds=1.5), timedelta(hours=1)),
    )
    main = RepositoryStatus("main", "/main", (), 7, 1000, 5_000_000_000_000, 9_000_000_000_000, 86400.5)
    found = series(look(cli, status, repositories=[main]))
    assert of(found, "shop") == {
        "bad": 0,
        "last_point_timestamp_seconds": POINT.captured_at.timestamp(),
        "last_proven_point_timestamp_seconds": proven.captured_at.timestamp(),
        "last_proven_timestamp_seconds": NOON.timestamp() - 5400,
        "rpo_seconds": 3 * 3600,
        "rpo_objective_seconds": 26 * 3600,
        "rto_seconds": 1.5,
        "rto_objective_seconds": 3600,
        "missed_windows": 3,
        "late_windows": 2,
        "points": 7,
        "suspect_points": 1,
        "copies": 1,
        "source_bytes": POINT.source_bytes,
    }
    assert of(found, "main") == {
        "repository_bad": 0,
        "repository_points": 7,
        "stored_bytes": 1000,
        "free_bytes": 5e12,
        "capacity_bytes": 9e12,
        "oldest_unread_byte_seconds": 86400.5,
    }
    assert found["status_timestamp_seconds", "", ""] == NOON.timestamp()
    assert state_of(found, "state", "shop") == "fine"


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", 'a\\"},x{y="', "größe", "a\\n"])
def test_labels_cannot_act(cli: Cli, name: str) -> None:
    found = samples(look(cli, source(name, SourceState.NEVER)))
    assert {labels["source"] for _, labels, _ in found if "source" in labels} == {name}
    assert {labels["plan"] for _, labels, _ in found} == {"/backup.yaml"}


def test_a_plan_whose_name_is_not_utf8(cli: Cli) -> None:
    cli.app.plan_path = os.fsdecode(b"/\xff.yaml")
    assert samples(look(cli))[0][1] == {"plan": "/\\udcff.yaml"}


def test_texts_are_not_shown(cli: Cli) -> None:
    """Those of findings have words of other programs."""
    assert SECRET not in look(cli, source("shop", SourceState.UNKNOWN))


def all_names() -> set[str]:
    nothing = PlanStatus(NOON, (), ())
    return {each.name for each in families(nothing, None, "")}


def exported() -> dict[str, set[str]]:
    """The metrics, and the labels of each one that has a sample in a plan where everything is known."""
    finding = CoverageFinding(CoverageGap.UNPROTECTED, "around", "x", "x")
    coverage = Coverage((PlaceCoverage("around", "srv", 1, 0, (), (finding,)),), NOON)
    objective = Objective(timedelta(1), timedelta(1))
    known = source(
        "shop", last=POINT, proven=POINT, proven_at=NOON, missed=NONE_MISSED, rpo=objective, rto=objective
    )
    status = PlanStatus(NOON, (known,), (RepositoryStatus("main", "/main", (), 1, 1, 1, 1, 1.0),))
    found = families(status, coverage, "/backup.yaml")
    return {each.name: {name for sample in each.samples for name in sample.labels} for each in found}


def rules() -> list[dict[str, object]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    assert set(group) == {"name", "rules"}
    found: list[dict[str, object]] = group["rules"]
    return found


METRIC = re.compile(r"backup_platform_[a-z_]+")
OPTIONAL = {  # objectives and coverage stand in the plan or do not; the rest is not known everywhere
    "backup_platform_rpo_objective_seconds",
    "backup_platform_rto_objective_seconds",
    "backup_platform_rto_seconds",
    "backup_platform_free_bytes",
    "backup_platform_unprotected",
    "backup_platform_coverage_known",
}


class TestRules:
    def test_they_have_the_keys_that_prometheus_knows(self) -> None:
        names = [each["alert"] for each in rules()]
        assert len(names) == len(set(map(str, names)))
        for each in rules():
            assert {"alert", "expr", "labels", "annotations"} <= set(each)
            assert set(each) <= {"alert", "expr", "for", "labels", "annotations"}
            assert set(each["annotations"]) == {"summary", "description"}  # type: ignore[call-overload]

    def test_each_metric_is_exported(self) -> None:
        used = {name for each in rules() for name in METRIC.findall(str(each["expr"]))}
        assert used <= set(exported())

    def test_each_metric_that_always_exists_has_a_twin(self) -> None:
        used = {name for each in rules() for name in METRIC.findall(str(each["expr"]))}
        twins = {name for each in rules() for name in re.findall(r"absent\((\w+)\)", str(each["expr"]))}
        assert used - twins == OPTIONAL

    def test_messages_use_labels_that_are_there(self) -> None:
        for each in rules():
            first = METRIC.findall(str(each["expr"]))[0]
            labels = exported()[first] | {"instance"}
            used = set(re.findall(r"\$labels\.(\w+)", str(each["annotations"])))
            assert used <= (set() if "absent" in str(each["expr"]) else labels), each


def test_the_page_of_operations_lists_all_metrics() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    listed = set(re.findall(r"^\| `(backup_platform_\w+)` \|", text, re.MULTILINE))
    assert listed == all_names() == set(exported())


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name in ("docs", "mail", "other"):
        (tmp_path / "srv" / name).mkdir(parents=True)
        (tmp_path / "srv" / name / "a").write_text("a")
    (tmp_path / "backup.yaml").write_text(PLAN)
    return tmp_path


@pytest.fixture
def run(home: Path, capsys: pytest.CaptureFixture[str]) -> Verbs:
    verbs = Verbs(capsys, home / "backup.yaml")
    verbs("init", code=0)
    verbs("init", "--repository", "offsite", code=0)
    return verbs


class TestARealPlan:
    def test_it_tells_what_status_tells(self, run: Verbs, home: Path) -> None:
        run("backup", code=0)
        run("drill", "docs@latest", code=0)
        run("copy", code=0)
        page = run("metrics", code=0).out
        found, told = series(page), run("status", "--json", code=1).document
        docs = next(each for each in told["sources"] if each["source"] == "docs")
        captured = datetime.fromisoformat(docs["last_point"]["captured_at"])
        assert of(found, "docs")["last_point_timestamp_seconds"] <= captured.timestamp()
        assert of(found, "docs")["last_proven_timestamp_seconds"] == pytest.approx(
            datetime.fromisoformat(docs["proven_at"]).timestamp()
        )
        assert of(found, "docs")["rto_seconds"] == docs["rto"]["measured_s"]
        assert of(found, "docs")["rpo_objective_seconds"] == 26 * 3600
        assert of(found, "docs")["copies"] == 2
        assert of(found, "mail")["copies"] == 1
        assert "last_proven_timestamp_seconds" not in of(found, "mail")
        assert state_of(found, "state", "mail") == "unproven"
        main = next(each for each in told["repositories"] if each["repository"] == "main")
        assert of(found, "main")["stored_bytes"] == main["stored_bytes"] > 0
        assert of(found, "around") == {"unprotected": 1, "coverage_known": 1}
        assert of(found, "away") == {"coverage_known": 0}
        assert {labels["plan"] for _, labels, _ in samples(page)} == {str(home / "backup.yaml")}
        assert abs(found["status_timestamp_seconds", "", ""] - datetime.now(UTC).timestamp()) < 60

    def test_a_repository_that_is_away_is_a_state(self, run: Verbs, home: Path) -> None:
        run("backup", code=0)
        shutil.move(home / "main", home / "elsewhere")
        found = series(run("metrics", code=0).out)
        assert state_of(found, "repository_state", "main") == "away"
        assert of(found, "docs") == {
            "bad": 1,
            "rpo_objective_seconds": 26 * 3600,
            "rto_objective_seconds": 3600,
        }

    def test_a_file_is_replaced_at_once_and_readable(self, run: Verbs, home: Path) -> None:
        out = home / "out"
        out.mkdir()
        (out / "b.prom").write_text("old")
        before = (out / "b.prom").stat().st_ino
        mask = os.umask(0o077)
        try:
            assert run("metrics", "--output", str(out / "b.prom"), code=0).out == ""
        finally:
            os.umask(mask)
        assert (out / "b.prom").stat().st_mode & 0o7777 == 0o644
        assert (out / "b.prom").stat().st_ino != before
        assert state_of(series((out / "b.prom").read_text()), "state", "docs") == "never"
        assert os.listdir(out) == ["b.prom"]

    def test_a_failure_leaves_the_old_file(self, run: Verbs, home: Path) -> None:
        (home / "b.prom").write_text("old")
        (home / "backup.yaml").write_text("sources: 1")
        run("metrics", "--output", str(home / "b.prom"), code=2)
        assert (home / "b.prom").read_text() == "old"

    def test_a_file_that_cannot_be_written(self, run: Verbs, home: Path) -> None:
        (home / "taken").mkdir()
        for target in (home / "taken", home / "none" / "b.prom"):
            assert "cannot be written" in run("metrics", "--output", str(target), code=1).err
        assert not list(home.glob("*.draft"))

    def test_the_document_has_the_same(self, run: Verbs, home: Path) -> None:
        document = run("metrics", "--json", code=0).document
        assert document["output"] is None
        given = {each["name"]: each for each in document["metrics"]}
        assert set(given) == all_names()
        (sample,) = given["backup_platform_missed_windows"]["samples"][:1]
        assert sample == {"labels": {"plan": str(home / "backup.yaml"), "source": "docs"}, "value": 0}
        ran = run("metrics", "--json", "--output", str(home / "b.prom"), code=0)
        assert ran.document["output"] == str(home / "b.prom")
        assert (home / "b.prom").read_text().startswith("# HELP ")
