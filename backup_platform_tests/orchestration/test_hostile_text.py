"""Text that somebody else wrote reaches Dagster's database, its UI and its logs as text: nothing in it is markup."""

from __future__ import annotations

import inspect
import json
import logging
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from markdown_it import MarkdownIt

import backup_platform.orchestration
from backup_platform.actions.copy.run import CopyResult
from backup_platform.domain.checks import CheckResult
from backup_platform.domain.model import Problem, Status
from backup_platform.domain.tables import Column, Storage, Table
from backup_platform.domain.visible import hides
from backup_platform.errors import StoreError
from backup_platform.orchestration import shown
from backup_platform.orchestration.assets.checks import upkeep_evaluation
from backup_platform.orchestration.failures import as_failure, dagster_errors
from backup_platform.orchestration.metadata import points as metadata
from backup_platform.orchestration.metadata import tables
from backup_platform.orchestration.metadata import upkeep as upkeep_metadata
from backup_platform_tests.orchestration.metadata.test_points import POINT

EVIL = (
    "\x1b[2J\u202e\u200b</td>|x|`` ` ````\n````\n# h\n![i](http://evil.example/i.png)<img src=http://evil.example/x>"
    "[l](http://evil.example) ![r][r] <script>alert(1)</script> www.evil.example a@evil.example @everyone <!channel>\n"
    "[r]: http://evil.example/r\n````"
)
HOSTILE = replace(
    POINT,
    id=EVIL,
    source=EVIL,
    timezone="Europe",  # a directory of zones
    window=replace(POINT.window, key=EVIL),
    suspect=(EVIL,),
    problems=(Problem(EVIL, Status.UNREADABLE, EVIL),),
    problem_count=1,
)
TABLE = Table(EVIL, EVIL, (Column(EVIL, EVIL, Storage.TEXT, nullable=True),), (EVIL,), 1, (EVIL,))


def verified() -> Any:
    rotation = SimpleNamespace(
        oldest_s=1.0, cycle_s=1.0, size=1, share_read=1.0, size_read=1, size_never=0, damaged=[EVIL]
    )
    return SimpleNamespace(points=[HOSTILE], packs_read=1, bytes_read=1, duration_s=1.0, rotation=rotation)


def judged() -> Any:
    return SimpleNamespace(point=HOSTILE, decision=SimpleNamespace(keep=True, reasons=[EVIL, EVIL]))


def forgot() -> dict[str, Any]:
    plan = SimpleNamespace(judged=[judged()])
    return upkeep_metadata.forget_metadata(plan, SimpleNamespace(forgotten=[], locked=[]))  # type: ignore[arg-type]


def pruned() -> dict[str, Any]:
    plan: Any = SimpleNamespace(packs=1, pack_bytes=1, wasted_bytes=1, grace=timedelta(hours=1))
    return upkeep_metadata.prune_metadata(plan, None)


MEASURED: dict[str, Any] = {
    EVIL: EVIL,
    "schema_diff": EVIL,
    "listed": [EVIL],
    "rows": {EVIL: [EVIL, {EVIL: 1}]},
}
OURS = {
    "inline",
    "text",
    "code_inline",
    "fence",
    "paragraph",
    "strong",
    "softbreak",
    "bullet_list",
    "list_item",
}
OURS |= {"table", "thead", "tbody", "tr", "th", "td"}
BUILDERS: dict[str, Callable[[], dict[str, Any]]] = {
    "point_metadata": lambda: metadata.point_metadata(HOSTILE, created=True, manifest=EVIL),
    "check_metadata": lambda: metadata.check_metadata(MEASURED, window=EVIL, point=EVIL, chosen=EVIL),
    "plain_metadata": lambda: metadata.plain_metadata(MEASURED),
    "copy_metadata": lambda: upkeep_metadata.copy_metadata(
        HOSTILE, CopyResult((HOSTILE,), (), {}, 1, 1, 1, 1.0), manifest=EVIL
    ),
    "forget_metadata": forgot,
    "prune_metadata": pruned,
    "verify_metadata": lambda: upkeep_metadata.verify_metadata(verified()),
    "tables_metadata": lambda: tables.tables_metadata(
        [SimpleNamespace(table=TABLE, bytes=1, stored_bytes=1)]  # type: ignore[list-item]
    ),
}


def builders(module: ModuleType) -> set[str]:
    made = inspect.getmembers(module, inspect.isfunction)
    return {name for name, _ in made if name.endswith("_metadata")}


def test_every_builder_is_tried() -> None:
    assert set(BUILDERS) == builders(metadata) | builders(upkeep_metadata) | builders(tables)


@pytest.mark.parametrize("name", BUILDERS)
def test_metadata_holds_text_that_is_only_text(name: str) -> None:
    for key, value in BUILDERS[name]().items():
        assert not hides(key)
        if isinstance(value, dg.MarkdownMetadataValue):
            only_ours(value.value or "")
        else:
            texts = json.dumps(dg.serialize_value(value), ensure_ascii=False)
            assert not hides(texts.replace("\\n", ""))


def only_ours(markdown: str) -> None:
    """As a parser of Markdown sees it: what is not ours is text, or code."""
    assert not [line for line in markdown.split("\n") if hides(line)]
    parsed = MarkdownIt("commonmark").enable("table").parse(markdown)
    for token in [each for block in parsed for each in (block, *(block.children or ()))]:
        assert token.type.removesuffix("_open").removesuffix("_close") in OURS, (token.type, token.content)
        if token.type == "text":  # GitHub's Markdown makes links of these by itself
            assert not re.search(r"://|\bwww\.|@", token.content), token.content
    heads = [line.count("|") for line in markdown.split("\n") if line.startswith("|---")]
    assert sum(token.type == "th_open" for token in parsed) == sum(heads) - len(heads)
    assert sum(token.type == "tr_open" for token in parsed) in (0, 2, 8)


def test_names_of_every_script_stay() -> None:
    for name in ("Größe.txt", "漢字 かな", "🎉"):
        assert shown.prose(name) == name
        assert shown.code(name) == f"`{name}`"


def test_a_verdict_and_a_failure_say_it_as_text() -> None:
    found = upkeep_evaluation(CheckResult("stored", passed=False, severity="error", summary=EVIL), POINT_KEY)
    failure = as_failure(StoreError(EVIL, hint=EVIL))
    for text in (found.description or "", failure.description or ""):
        assert not hides(text.replace("\n", ""))
        assert not re.search(r"!\[|\]\(|\]:|<[a-z!/]|(?<!\w)@", text)
    assert not hides(str(failure.metadata["hint"].value))


POINT_KEY = dg.AssetKey(["backups", "shop"])


def test_the_causes_of_a_failure_are_harmless_too() -> None:
    """Dagster keeps the whole chain with its traceback, and prints it."""

    def broken() -> None:
        low = OSError(5, EVIL, EVIL)
        high = ValueError(EVIL)
        high.__cause__ = low
        with dagster_errors(0, 0):
            raise StoreError(EVIL) from high

    with pytest.raises(dg.Failure) as caught:
        broken()
    cause: BaseException | None = caught.value
    texts = []
    while cause is not None:
        texts.append(str(cause))
        cause = cause.__cause__
    assert len(texts) == 4
    assert not hides("".join(texts).replace("\n", ""))


def test_a_log_has_it_as_text(caplog: pytest.LogCaptureFixture) -> None:
    log = shown.Log(logging.getLogger("run"), {})
    log.warning("%s: %d", EVIL, 3)
    try:
        raise ValueError(EVIL)  # noqa: TRY301
    except ValueError:
        log.exception("x")
    assert len(caplog.records) == 2
    assert not hides(caplog.text.replace("\n", ""))


def test_nothing_else_makes_text_for_dagster() -> None:
    """A builder that goes past `shown` would not be harmless."""
    for file in Path(backup_platform.orchestration.__file__).parent.rglob("*.py"):
        if file.name in ("shown.py", "translator.py"):  # the plan's author is whoever runs it
            continue
        text = file.read_text()
        assert not re.search(r"MetadataValue\.(text|md|path|json|url)\(", text), file
        assert not re.search(r"context\.log\b", text), file
