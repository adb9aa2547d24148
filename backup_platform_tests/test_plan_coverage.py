"""Where a plan says to look for what is in no source: what it accepts, and what it says of mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from backup_platform.errors import PlanError
from backup_platform.plan import Plan
from backup_platform.plan.coverage import BesidePlace, InsidePlace
from backup_platform_tests.cli.setup.test_plan_verbs import complaints
from backup_platform_tests.test_plan import HEAD, load, problems

SOURCES = HEAD + (
    '  shop: {postgres: "postgresql://db/shop", every: day}\n  www: {files: /srv/www, every: day}\n'
    "  dump: {command: [x], every: day}\n"
)
ALL = SOURCES + (
    "coverage:\n"
    '  server: {postgres: "postgresql://backup@db/postgres", password: "${env:PASSWORD}"}\n'
    '  srv: {files: srv, except: {lost+found: of the file system, "tmp*": made anew}}\n'
    "  databases: {beside: shop}\n"
    '  bucket: {store: s3://acme, region: eu-central-1, credentials: {access_key_id: "${env:PASSWORD}"}}\n'
    "  pipeline: {assets: true, except: {raw/*: fetched anew}}\n"
    "  tables: {inside: shop, except: {audit.*: kept elsewhere}}\n"
)


def test_all_of_it(tmp_path: Path) -> None:
    plan = load(tmp_path, ALL)
    assert complaints(ALL) == []
    places = plan.coverage
    assert [each.kind for each in places.values()] == ["postgres", "files", "", "", "", ""]
    assert places["srv"].exceptions == {"lost+found": "of the file system", "tmp*": "made anew"}
    assert isinstance(places["databases"], BesidePlace)
    assert isinstance(places["tables"], InsidePlace)
    assert plan.references() == ["${env:PASSWORD}"]
    shown = plan.model_dump(mode="json", exclude_unset=True)
    assert shown["coverage"]["srv"] == {
        "files": str(tmp_path / "srv"),
        "except": {"lost+found": "of the file system", "tmp*": "made anew"},
    }
    assert Plan.from_mapping(shown, base=str(tmp_path)) == plan


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (
            "{}",
            "coverage.p: has neither `beside`, `inside`, `assets`, `store`, `files` nor `postgres`: say where",
        ),
        ("{beside: shop, files: /srv}", "coverage.p.files: has both `beside` and `files`: give one of them"),
        ("{store: /srv}", "coverage.p.store: is not the URL of a bucket; write one like s3://bucket"),
        ("{store: file:///srv}", "coverage.p.store: is not the URL of a bucket"),
        ('{store: "s3://id:secret@b"}', "coverage.p.store: holds a password or token"),
        (
            "{store: s3://b, credentials: {access_key_id: AKID}}",
            "coverage.p.credentials.access_key_id: must refer",
        ),
        (
            "{files: /srv, backed_up_by: {mysql: dmp}}",
            'coverage.p.backed_up_by.mysql: there is no source "dmp"',
        ),
        ("{files: /srv, backed_up_by: [x]}", "coverage.p.backed_up_by: must be keys and values"),
        ("{assets: false}", "coverage.p.assets: "),
        ("{beside: shpo}", 'coverage.p.beside: there is no source "shpo"'),
        (
            "{beside: dump}",
            "coverage.p.beside: `beside` is for sources with `files` or `postgres`; dump is one",
        ),
        (
            "{inside: www}",
            "coverage.p.inside: `inside` is for sources with `postgres`; www is one with `files`",
        ),
        (
            "{sqlite: x.db}",
            "coverage.p.sqlite: nothing beside sources with `sqlite` can be found: sources with",
        ),
        ("{files: /srv, jobs: 3}", 'coverage.p: unknown key "jobs"'),
        ("{files: /srv, exept: {}}", 'coverage.p: unknown key "exept"; did you mean "except"?'),
        ("{beside: shop, exceptions: {}}", 'coverage.p: unknown key "exceptions"; did you mean "except"?'),
        ("{fils: /srv}", 'coverage.p: unknown key "fils"; did you mean "files"?'),
        ("{files: /srv, except: [a]}", "coverage.p.except: must be keys and values"),
        ("{files: /srv, except: {a: }}", "coverage.p.except.a: is empty: write a value"),
        ('{files: /srv, except: {a: " "}}', "coverage.p.except.a: is empty: say why it needs no backup"),
        ("[]", "coverage.p: must be keys and values"),
        ("", "coverage.p: is empty: write a value"),
    ],
)
def test_mistakes(tmp_path: Path, place: str, message: str) -> None:
    found = problems(tmp_path, SOURCES + f"coverage:\n  p: {place}\n")
    assert any(each.startswith(f"7: {message}") for each in found), found


def test_a_password_in_a_url_is_refused_and_not_shown(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"coverage\.p\.postgres: holds a password") as raised:
        load(tmp_path, SOURCES + 'coverage: {p: {postgres: "postgresql://a:geheim@db/x"}}\n')
    assert "geheim" not in str(raised.value)


def test_coverage_that_is_no_mapping(tmp_path: Path) -> None:
    assert problems(tmp_path, SOURCES + "coverage: [srv]\n") == ["6: coverage: must be keys and values"]
    assert problems(tmp_path, SOURCES + "coverage: {Bad Name: {files: /srv}}\n")[0].startswith(
        "6: coverage.Bad Name: not a place's name: use a-z"
    )
