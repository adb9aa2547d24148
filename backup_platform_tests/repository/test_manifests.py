"""Manifests: what is read is what was written, at the place where it was written, behind the point before."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup_platform.domain.limits import MAX_INVENTORY
from backup_platform.domain.model import Content, Problem, RecoveryPoint, Stats, Status, StreamRef, Window
from backup_platform.errors import DamageError
from backup_platform.repository.objects.canonical import canonical, sign, unsign
from backup_platform.repository.objects.documents import Codec
from backup_platform.repository.objects.names import ManifestKey
from backup_platform.repository.points.chains import ChainLink, chain_breaks, chain_gaps, effective_points
from backup_platform.repository.points.manifests import MAX_PROBLEMS, decode_manifest, encode_manifest
from backup_platform_tests.support import START, Bench, flipped

ZONES = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45)), timezone(timedelta(hours=-3))])
MOMENTS = st.datetimes(datetime(1970, 1, 2), datetime(8999, 12, 30), timezones=ZONES)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=8,
)
POINTS = st.builds(
    RecoveryPoint,
    id=st.just(""),
    sequence=st.integers(1, 9_999_999_999),
    predecessor=st.sampled_from(["", "ab" * 32]),
    source=st.sampled_from(["shop", "uploads", "é"]),
    kind=st.sampled_from(["files", "sqlite"]),
    window=st.builds(Window, st.text(min_size=1), MOMENTS, MOMENTS),
    timezone=st.sampled_from(["UTC", "Europe/Berlin"]),
    captured_at=MOMENTS,
    committed_at=MOMENTS,
    lateness_s=st.floats(0, 1e9),
    incomplete=st.booleans(),
    problem_count=st.integers(0, 1 << 40),
    problems=st.lists(st.builds(Problem, st.text(), st.sampled_from(Status), st.text()), max_size=4).map(
        tuple
    ),
    facts=st.dictionaries(st.text(), JSON, max_size=4),
    stats=st.builds(Stats, *[st.integers(0, 1 << 60)] * 4, duration_s=st.floats(0, 1e9)),
    inventory=st.builds(
        StreamRef,
        st.integers(0, MAX_INVENTORY),
        st.builds(
            Content,
            st.integers(0, 3).flatmap(lambda n: st.binary(min_size=32 * n, max_size=32 * n)),
            st.integers(0, 3),
        ),
    ),
    versions=st.dictionaries(st.text(), st.text(), max_size=3),
)


@given(point=POINTS)
def test_round_trip(point: RecoveryPoint) -> None:
    signed, data = encode_manifest(point, Codec("repo"))
    assert signed == replace(point, id=signed.id)
    assert decode_manifest(ManifestKey.of(point.source, point.sequence), data, Codec("repo")) == signed
    line, identity, end = data.split(b"\n")
    assert end == b""
    assert identity.decode() == signed.id
    assert canonical(json.loads(line)) == line


def a_point(sequence: int = 1, predecessor: str = "", **changes: Any) -> RecoveryPoint:
    window = Window("w", START, START + timedelta(hours=1))
    point = RecoveryPoint(
        "", sequence, predecessor, "shop", "files", window, "UTC", START, START, 0.0, False, 0, (), {}, Stats(),
        StreamRef(0, Content()), {},
    )  # fmt: skip
    return replace(point, **changes)


def test_every_altered_byte_and_every_truncation_is_damage() -> None:
    _, data = encode_manifest(a_point(), Codec("repo"))
    for position in range(len(data)):
        for broken in (flipped(data, position), data[:position]):
            with pytest.raises(DamageError):
                decode_manifest(ManifestKey.of("shop", 1), broken, Codec("repo"))


def test_only_the_first_problems_are_listed() -> None:
    problems = tuple(Problem(str(n), Status.VANISHED) for n in range(500))
    _, data = encode_manifest(a_point(problems=problems, problem_count=500), Codec("repo"))
    point = decode_manifest(ManifestKey.of("shop", 1), data, Codec("repo"))
    assert len(point.problems) == MAX_PROBLEMS
    assert point.problem_count == 500


@pytest.mark.parametrize(
    "key", [ManifestKey.of("shop", 2), ManifestKey.of("other", 1), "manifests/shop/0000000001", "elsewhere"]
)
def test_a_manifest_at_another_place_is_refused(key: str) -> None:
    _, data = encode_manifest(a_point(), Codec("repo"))
    with pytest.raises(DamageError, match="belongs elsewhere"):
        decode_manifest(key, data, Codec("repo"))


def test_a_manifest_of_another_repository_is_refused() -> None:
    _, data = encode_manifest(a_point(), Codec("another"))
    with pytest.raises(DamageError, match="belongs elsewhere"):
        decode_manifest(ManifestKey.of("shop", 1), data, Codec("repo"))


FIELDS = list(json.loads(encode_manifest(a_point(), Codec("repo"))[1].split(b"\n")[0]))


@pytest.mark.parametrize("field", [name for name in FIELDS if name != "format"])
@pytest.mark.parametrize("value", [None, [], {}, "x", ["remove"]])
def test_a_field_of_another_kind_or_none_is_damage_or_harmless(field: str, value: object) -> None:
    """Never another exception: a hash can be right although the document is not."""
    _, data = encode_manifest(a_point(), Codec("repo"))
    document = json.loads(data.split(b"\n")[0])
    if value == ["remove"]:
        del document[field]
    else:
        document[field] = value
    missing = value == ["remove"]
    with pytest.raises(DamageError, match=ManifestKey.of("shop", 1)) if missing else suppress(DamageError):
        decode_manifest(ManifestKey.of("shop", 1), sign(document)[1], Codec("repo"))


@pytest.mark.parametrize("line", [b"", b"[]", b"1", b"{", b"\xff", b'{"a":1}'])
def test_a_right_hash_of_no_manifest_is_damage(line: bytes) -> None:
    from backup_platform.repository.objects.names import digest

    data = line + b"\n" + digest(line).hex().encode() + b"\n"
    with pytest.raises(DamageError):
        decode_manifest(ManifestKey.of("shop", 1), data, Codec("repo"))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_canonical_json_has_no_nan(value: float) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical({"x": value})


def test_canonical_json_is_sorted_compact_and_not_escaped() -> None:
    assert (
        canonical({"b": 1, "a": "é\n", "B": [1.5, True, None]})
        == '{"B":[1.5,true,null],"a":"é\\n","b":1}'.encode()
    )


@given(document=st.dictionaries(st.text(), JSON))
def test_signed_documents_round_trip(document: dict[str, Any]) -> None:
    identity, data = sign(document)
    assert unsign("key", data) == (identity, document)


def chain(length: int, **last: Any) -> list[RecoveryPoint]:
    points: list[RecoveryPoint] = []
    for n in range(1, length + 1):
        before = points[-1].id if points else ""
        changes = last if n == length else {}
        points.append(encode_manifest(a_point(n, before, **changes), Codec("repo"))[0])
    return points


def test_a_chain_holds() -> None:
    assert chain_breaks(chain(5)) == []
    assert chain_breaks(reversed(chain(5))) == []


def test_a_point_that_names_another_predecessor_breaks_the_chain() -> None:
    points = chain(4)
    (text,) = chain_breaks([*points[:3], replace(points[3], predecessor="ee" * 32)])
    assert points[3].id[:12] in text


def test_a_replaced_point_breaks_the_chain() -> None:
    """The newest may be rewritten unseen in an unencrypted repository; no other can."""
    points = chain(4)
    forged = encode_manifest(replace(points[1], lateness_s=5.0), Codec("repo"))[0]
    assert len(chain_breaks([points[0], forged, *points[2:]])) == 1


def test_a_point_that_was_pruned_does_not_break_the_chain() -> None:
    points = chain(4)
    assert chain_breaks([points[0], points[2], points[3]]) == []


def forgotten(point: RecoveryPoint) -> ChainLink:
    return ChainLink(point.source, point.sequence, point.id)


def test_the_chain_goes_on_over_what_was_forgotten() -> None:
    points = chain(5)
    gone = [forgotten(points[1]), forgotten(points[2])]
    left = [points[0], *points[3:]]
    assert chain_breaks(left, gone) == chain_gaps(left, gone) == []
    (text,) = chain_breaks(left, [gone[0], gone[1]._replace(id="ee" * 32)])
    assert points[3].id[:12] in text


def test_what_an_interrupted_forget_left_stands_for_itself() -> None:
    points = chain(3)
    assert chain_breaks(points, [ChainLink("shop", 2, "ee" * 32)]) == []


def test_a_place_that_nothing_fills_is_a_gap() -> None:
    points = chain(9)
    left = [points[1], points[2], points[6], points[8]]
    texts = chain_gaps(left, [forgotten(points[7])])
    assert [text.partition(" is here")[0] for text in texts] == [
        "shop: no recovery point 1",
        "shop: no recovery point 4 to 6",
    ]
    assert chain_gaps(points) == []


def test_a_point_that_was_written_past_a_damaged_one_fits_once_that_is_repaired() -> None:
    """It names the newest that could be read then, or none."""
    first, second, third = chain(3)
    for earlier in (first.id, ""):
        assert chain_breaks([first, second, replace(third, predecessor=earlier)]) == []
    assert chain_breaks([second, replace(third, predecessor=first.id)], [forgotten(first)]) == []
    assert len(chain_breaks([second, replace(third, predecessor=first.id)])) == 1


def test_chains_of_sources_are_apart() -> None:
    other = [replace(point, source="other") for point in chain(2, lateness_s=1.0)]
    assert chain_breaks([*chain(2), *other]) == []


def test_the_effective_point_of_a_window_is_the_newest_complete_one() -> None:
    first, second, third = a_point(1, incomplete=True), a_point(2), a_point(3, incomplete=True)
    assert effective_points([third, first, second]) == [second]
    assert effective_points([first, third]) == [third]
    assert effective_points([a_point(4), second]) == [a_point(4)]


def test_effective_points_are_by_source_and_window() -> None:
    early = Window("a", START - timedelta(days=1), START)
    points = [a_point(1), a_point(2, window=early), a_point(1, source="archive")]
    assert effective_points(points) == [points[2], points[1], points[0]]


# In a repository


def manifest(bench: Bench, sequence: int, source: str = "docs") -> str:
    return str(bench.root / ManifestKey.of(source, sequence))


def test_a_replayed_manifest_is_refused(bench: Bench) -> None:
    bench.backup()
    bench.backup()
    shutil.copy(manifest(bench, 1), manifest(bench, 3))
    with pytest.raises(DamageError, match=ManifestKey.of("docs", 3)):
        bench.open().points.all()


def test_an_old_manifest_in_the_place_of_a_new_one_is_refused(bench: Bench) -> None:
    bench.backup()
    bench.backup()
    shutil.copy(manifest(bench, 1), manifest(bench, 2))
    with pytest.raises(DamageError):
        bench.open().points.all()


def test_a_manifest_moved_to_another_source_is_refused(bench: Bench) -> None:
    bench.backup()
    path = manifest(bench, 1, "mail")
    os.makedirs(os.path.dirname(path))
    shutil.copy(manifest(bench, 1), path)
    with pytest.raises(DamageError):
        bench.open().points.all("mail")


def test_a_manifest_that_vanishes_while_it_is_read_is_damage(bench: Bench) -> None:
    """And not a recovery point that nobody asked for (`NotFoundError`)."""
    bench.backup()
    repository = bench.open()
    objects = list(bench.store.list("manifests/"))
    os.unlink(manifest(bench, 1))

    class Late(type(bench.store)):  # type: ignore[misc]
        def list(self, prefix: str) -> Any:
            return iter(objects)

    repository.objects.store = Late(str(bench.root))
    with pytest.raises(DamageError, match="not in the store any more"):
        repository.points.all()


def test_a_damaged_manifest_does_not_stop_backups_nor_hide_the_others(bench: Bench) -> None:
    first = bench.backup()
    bench.backup()
    bench.damage(ManifestKey.of("docs", 2))
    third = bench.backup()
    assert (third.sequence, third.predecessor) == (3, first.id)
    points, errors = bench.open().points.readable()
    assert points == [first, third]
    assert [ManifestKey.of("docs", 2) in str(error) for error in errors] == [True]
    assert bench.content(third) == bench.content(first) == bench.source.files
    with pytest.raises(DamageError):
        bench.open().points.all()
    assert chain_breaks(points) == []


def test_manifests_are_listed_anew_and_read_once(bench: Bench) -> None:
    repository = bench.open()
    first = bench.backup()
    assert repository.points.all() == [first]
    second = bench.backup()
    assert repository.points.all() == [first, second]
    bench.damage(ManifestKey.of("docs", 1))
    assert repository.points.all() == [first, second]
    with pytest.raises(DamageError):
        repository.points.all(reread=True)
    os.unlink(manifest(bench, 1))
    assert repository.points.all() == [second]
