"""`coverage`: what it prints, and what it ends with."""

from __future__ import annotations

from pathlib import Path

import pytest

from backup_platform_tests.cli.conftest import Verbs

PLAN = """\
repository: {{path: repository}}
state: state
sources:
  www: {{files: srv/www, every: day}}
coverage:
  srv:
    files: srv
    except: {exceptions}
"""


@pytest.fixture
def srv(tmp_path: Path) -> Path:
    for name in ("www", "mail", "tmp_1"):
        (tmp_path / "srv" / name).mkdir(parents=True)
    return tmp_path / "srv"


@pytest.fixture
def run(srv: Path, capsys: pytest.CaptureFixture[str]) -> Verbs:
    return Verbs(capsys, srv.parent / "backup.yaml")


def write(srv: Path, exceptions: str) -> None:
    (srv.parent / "backup.yaml").write_text(PLAN.format(exceptions=exceptions))


def test_a_finding_has_the_lines_that_end_it(run: Verbs, srv: Path) -> None:
    """Nothing of the plan's repository is needed, which is not there."""
    write(srv, '{"tmp_*": made anew}')
    out = run("coverage", code=3).out
    assert f"directory 'mail' of {srv} is in no source, first seen on " in out
    assert f"sources:\n          mail: {{files: {srv}/mail, every: day}}" in out
    assert "except:\n              mail: REASON" in out
    assert out.endswith("1 place: 1 thing is in no source.\n")
    assert "made anew" not in out
    assert f"directory 'tmp_1' of {srv}: made anew" in run("coverage", "--all", code=3).out


def test_all_is_well(run: Verbs, srv: Path) -> None:
    write(srv, '{"tmp_*": made anew, mail: the provider keeps it}')
    assert run("coverage", code=0).out.endswith(
        "1 place: everything is in a source or left out on purpose.\n"
    )


def test_a_warning_leaves_the_exit_code(run: Verbs, srv: Path) -> None:
    write(srv, "{tmp_1: made anew, mail: elsewhere, old: it was big}")
    ran = run("coverage", code=0)
    assert "warn  the exception 'old' of" in ran.out
    assert "Take it out of the plan." in ran.out


def test_a_place_that_cannot_be_looked_at(run: Verbs, srv: Path) -> None:
    write(srv, "{}")
    (srv / "www").rmdir()
    (srv / "mail").rmdir()
    (srv / "tmp_1").rmdir()
    srv.rmdir()
    ran = run("coverage", code=1)
    assert "1 place: 1 place could not be looked at." in ran.out
    assert "?" in ran.out


def test_a_plan_that_says_nothing_is_not_fine(run: Verbs, srv: Path) -> None:
    (srv.parent / "backup.yaml").write_text(
        PLAN.partition("coverage:")[0].replace("{{", "{").replace("}}", "}")
    )
    ran = run("coverage", code=2)
    assert "does not say where to look" in ran.err
    assert "docs/coverage.md" in ran.err


def test_assets_are_left_to_dagster(run: Verbs, srv: Path) -> None:
    plan = PLAN.partition("coverage:")[0] + "coverage: {{pipeline: {{assets: true}}}}\n"
    (srv.parent / "backup.yaml").write_text(plan.format())
    out = run("coverage", code=0).out
    assert "note  pipeline: only Dagster knows its assets, and looks there" in out
    assert out.endswith("Nothing was looked at.\n")
    document = run("coverage", "--json", code=0).document
    assert (document["places"], document["elsewhere"]) == ([], ["pipeline"])


def test_the_document(run: Verbs, srv: Path) -> None:
    write(srv, "{tmp_1: made anew, old: it was big}")
    document = run("coverage", "--json", code=3).document
    [place] = document["places"]
    unprotected, needless = place.pop("findings")
    assert document["passed"] is False
    assert place == {
        "place": "srv",
        "title": str(srv),
        "seen": 3,
        "protected": 1,
        "left_out": [{"name": "tmp_1", "what": "directory", "reason": "made anew"}],
    }
    assert unprotected.pop("since").endswith("Z")
    assert unprotected == {
        "gap": "unprotected",
        "name": "mail",
        "text": f"directory 'mail' of {srv} is in no source",
        "as_source": f"sources:\n  mail: {{files: {srv}/mail, every: day}}",
        "as_exception": "coverage:\n  srv:\n    except:\n      mail: REASON",
        "hint": "",
    }
    assert (needless["gap"], needless["since"], needless["as_source"]) == ("needless_exception", None, "")


def test_a_name_cannot_act_on_the_terminal(run: Verbs, srv: Path) -> None:
    (srv / "\x1b[2Jx").mkdir()
    write(srv, "{tmp_1: a, mail: b}")
    out = run("coverage", code=3).out
    assert "\x1b" not in out
    assert '"\\U0000001b[2Jx": REASON' in out
