"""Keys and ids as types: each text is the one that it was made of, and no other text becomes one."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup_platform.domain.ports import StoredObject
from backup_platform.repository.objects.names import (
    META,
    PACKS,
    IndexKey,
    ManifestKey,
    Name,
    ObjectId,
    PackKey,
    is_named_by,
    packs_among,
)
from backup_platform.repository.records.marks import mark_name, marked

HASHES = st.binary(min_size=32, max_size=32)
WRONG_LENGTHS = st.binary(max_size=80).filter(lambda hashed: len(hashed) != 32)
TYPES: list[type[Name]] = [ObjectId, PackKey, IndexKey, ManifestKey]


@given(hashed=HASHES, meta=st.booleans())
def test_a_pack_keeps_its_kind_and_its_hash(hashed: bytes, meta: bool) -> None:
    key = PackKey.of(hashed, meta=meta)
    assert PackKey(str(key)) == key == PackKey.match(str(key))
    assert (key.meta, key.id, key.id.hash) == (meta, ObjectId.of(hashed), hashed)
    assert key.startswith(META if meta else PACKS)
    assert IndexKey.match(key) is None


@given(hashed=HASHES)
def test_an_index_and_an_id_keep_their_hash(hashed: bytes) -> None:
    key = IndexKey.of(hashed)
    assert IndexKey(str(key)) == key
    assert (key.id, ObjectId(str(key.id)).hash) == (ObjectId.of(hashed), hashed)
    assert PackKey.match(key) is None


@given(hashed=WRONG_LENGTHS)
def test_a_hash_of_another_length_names_nothing(hashed: bytes) -> None:
    for make in (ObjectId.of, IndexKey.of, lambda h: PackKey.of(h, meta=False), lambda h: ObjectId(h.hex())):
        with pytest.raises(ValueError, match=r"hash has 32 bytes|is not a valid ObjectId"):
            make(hashed)


@given(source=st.text(max_size=20), sequence=st.integers(1, 9_999_999_999))
def test_a_manifest_keeps_its_place(source: str, sequence: int) -> None:
    key = ManifestKey.of(source, sequence)
    assert ManifestKey(str(key)) == key
    assert key.sequence == sequence
    assert key.rpartition("/")[0] == ManifestKey.of(source, 1).rpartition("/")[0]


@pytest.mark.parametrize("sequence", [0, -1, 10_000_000_000])
def test_a_place_that_no_chain_has_is_none(sequence: int) -> None:
    with pytest.raises(ValueError, match="is not a valid ManifestKey"):
        ManifestKey.of("docs", sequence)


@given(text=st.text(max_size=90) | st.text("0123456789abcdef/-packsmetaindx", max_size=90))
def test_any_other_text_is_refused_and_found_to_be_none(text: str) -> None:
    for kind in TYPES:
        if kind.match(text) is None:
            with pytest.raises(ValueError, match=f"is not a valid {kind.__name__}"):
                kind(text)
        else:
            assert kind(text) == text


@pytest.mark.parametrize(
    "text",
    [
        f"packs/ab/{'cd' * 32}",
        f"packs/ab/{'ab' * 31}",
        f"packs/ab/{'ab' * 32}\n",
        f"packs/AB/{'AB' * 32}",
        f"other/ab/{'ab' * 32}",
        f"x/packs/ab/{'ab' * 32}",
    ],
)
def test_what_is_nearly_the_key_of_a_pack_is_none(text: str) -> None:
    assert PackKey.match(text) is None
    found = StoredObject(text, 1, datetime(2026, 1, 1, tzinfo=UTC))
    assert list(packs_among([found])) == []


@given(hashes=st.lists(HASHES, max_size=5))
def test_joined_ids_are_taken_apart(hashes: list[bytes]) -> None:
    ids = [ObjectId.of(hashed) for hashed in hashes]
    assert ObjectId.all_of("".join(ids)) == ids
    for wrong in (f"{''.join(ids)}a", "g" * 64, "ab" * 31):
        with pytest.raises(ValueError, match="is not a sequence of ids"):
            ObjectId.all_of(wrong)


@given(hashed=HASHES)
def test_a_mark_tells_which_object_it_is_of(hashed: bytes) -> None:
    for key in (PackKey.of(hashed, meta=False), PackKey.of(hashed, meta=True), IndexKey.of(hashed)):
        assert marked(mark_name(key)) == key
        assert type(marked(mark_name(key))) is type(key)
        assert marked(mark_name(key)[:-1]) is None


def test_a_key_that_does_not_end_in_the_hash_is_noticed() -> None:
    key = IndexKey("indexes/d74981efa70a0c880b8d8c1985d075dbcbf679b99a5f9914e5aaf96b831a9e24")
    assert is_named_by(key, b"hello world")
    assert not is_named_by(key, b"hello worlds")
    assert not is_named_by("repository.json", b"hello world")
