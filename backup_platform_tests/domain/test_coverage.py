"""What is neither protected nor left out on purpose, and the lines of a plan that end it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import yaml
from hypothesis import given
from hypothesis import strategies as st

from backup_platform.domain.coverage import (
    Coverage,
    CoverageFinding,
    CoverageGap,
    JudgedPlace,
    Neighbour,
    NewSourceNames,
    PlaceCoverage,
    Surroundings,
    judge,
    matching,
    not_looked,
    pattern_of,
)

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def judged(
    neighbours: Sequence[Neighbour],
    exceptions: Mapping[str, str] | None = None,
    told: Mapping[str, str] | None = None,
) -> PlaceCoverage:
    place = JudgedPlace(
        "server",
        exceptions or {},
        lambda names: dict.fromkeys(names, NOON),
        NewSourceNames(["shop"]).of,
        told or {},
    )
    return judge(place, Surroundings("the server", neighbours))


def database(name: str, *sources: str) -> Neighbour:
    return Neighbour(name, "database", sources, settings={"db": name})


class TestJudging:
    def test_what_is_in_a_source_is_fine(self) -> None:
        found = judged([database("shop", "shop"), database("mail", "mail")])
        assert (found.seen, found.protected, found.findings) == (2, 2, ())

    def test_what_is_in_none_is_a_finding_with_its_time(self) -> None:
        [finding] = judged([database("shop", "shop"), database("new")]).findings
        assert finding.message == "database 'new' of the server is in no source, first seen on 2026-11-22"
        assert finding.as_source == "sources:\n  new: {db: new, every: day}"
        assert finding.as_exception == "coverage:\n  server:\n    except:\n      new: REASON"
        assert not finding.is_warning

    def test_what_has_a_reason_is_no_finding(self) -> None:
        found = judged([database("tmp_1"), database("tmp_2"), database("new")], {"tmp_*": "made anew"})
        assert [(each.name, each.reason) for each in found.left_out] == [
            ("tmp_1", "made anew"),
            ("tmp_2", "made anew"),
        ]
        assert [each.name for each in found.findings] == ["new"]

    def test_an_exception_for_what_is_gone_is_a_warning(self) -> None:
        [finding] = judged([database("shop", "shop")], {"scratch": "made anew"}).findings
        assert (finding.gap, finding.is_warning) == (CoverageGap.NEEDLESS, True)
        assert "nothing there has such a name" in finding.text

    def test_so_is_one_for_what_is_in_a_source_now(self) -> None:
        [finding] = judged([database("shop", "shop")], {"shop": "not yet"}).findings
        assert finding.text.endswith("leaves nothing out: shop is in a source")

    def test_one_that_another_makes_superfluous_still_leaves_something_out(self) -> None:
        assert judged([database("tmp")], {"t*": "a", "tmp": "b"}).findings == ()

    def test_what_the_plan_says_is_in_a_source_is_fine(self) -> None:
        found = judged([database("shop", "shop"), database("mail"), database("new")], told={"ma*": "dump"})
        assert ([each.name for each in found.findings], found.protected) == (["new"], 2)

    def test_where_that_says_nothing_new_it_is_a_warning(self) -> None:
        for told in ({"gone": "dump"}, {"shop": "dump"}):
            [finding] = judged([database("shop", "shop")], told=told).findings
            assert finding.is_warning
        assert judged([database("mail")], {"mail": "x"}, told={"mail": "dump"}).findings[0].is_warning

    def test_the_whole(self) -> None:
        warned = judged([database("shop", "shop")], {"gone": "x"})
        lacking = judged([database("new")])
        away = not_looked("other", "The server is away.", ())
        assert Coverage((warned,), NOON).is_fine
        assert not Coverage((warned, lacking), NOON).is_fine
        assert Coverage((lacking,), NOON).is_known
        assert not Coverage((warned, away), NOON).is_known
        assert not Coverage((away,), NOON).is_fine


class TestLines:
    """Of a plan, for whatever somebody called a database or a directory."""

    @given(st.text(min_size=1))
    def test_an_exception_is_for_what_it_was_offered_for(self, name: str) -> None:
        finding = CoverageFinding(CoverageGap.UNPROTECTED, "server", name, "")
        assert "\n" not in finding.as_exception.split("except:\n")[1]
        [pattern] = yaml.safe_load(finding.as_exception)["coverage"]["server"]["except"]
        assert matching(pattern, [name]) == [name]

    @given(st.text(min_size=1))
    def test_a_source_has_the_settings(self, name: str) -> None:
        name = pattern_of(name)  # a name that is no text has no settings
        settings: Mapping[str, list[str] | str] = {"db": name, "of": [name, "a"]}
        source = NewSourceNames(()).of(name)
        finding = CoverageFinding(
            CoverageGap.UNPROTECTED,
            "server",
            name,
            "",
            settings={"db": name, "of": [name, "a"]},
            source=source,
        )
        assert yaml.safe_load(finding.as_source) == {"sources": {source: {**settings, "every": "day"}}}

    def test_new_sources_have_new_names(self) -> None:
        names = NewSourceNames(["shop", "mail"])
        assert [names.of(each) for each in ("Shop", "shop-2", "shop", "Ä", "ß")] == [
            "shop_2",
            "shop_2_2",
            "shop_3",
            "new",
            "new_2",
        ]


def test_patterns_stand_for_names() -> None:
    names = ["tmp_1", "tmp", "a.b", "axb", "a*b"]
    assert matching("tmp*", names) == ["tmp_1", "tmp"]
    assert matching("a?b", names) == ["a.b", "axb", "a*b"]
    assert matching("a*b", names) == ["a.b", "axb", "a*b"]
    assert matching("TMP", names) == []
