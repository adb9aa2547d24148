"""Names of the ledger's records: only holders of the repository's key make genuine ones, and only for their place."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from backup_platform.domain.limits import MAX_LEDGER_NAME
from backup_platform.domain.ports import StoredObject
from backup_platform.repository.objects.record_names import Origin, RecordNames, kind_of, name_key

POINT, OTHER, KEY, REPOSITORY = "ab" * 32, "cd" * 32, bytes(range(32)), "0123456789abcdef" * 2
NOW = datetime(2026, 11, 22, 2, 15, tzinfo=UTC)
SAYS = [
    f"ledger/proofs/{POINT}/20261122T021500.000000Z-drill-passed-01234567",
    f"ledger/damaged/packs/{POINT}",
    f"ledger/keys/{POINT}/20261122T021500.000000Z-passed-01234567",
    f"ledger/accepted/{POINT}/0123456789abcdef",
    f"ledger/forgotten/{REPOSITORY}/0000000001-{POINT}",
    f"ledger/forgotten/{REPOSITORY}/0000000001-lost",
    "ledger/reads/20261122T021500.000000Z-01234567",
    f"ledger/locks/{REPOSITORY}/20261122T021500.000000Z-01234567",
]
CHANGES = [
    (POINT, OTHER),
    ("drill", "verify"),
    ("passed", "failed"),
    ("proofs", "keys"),
    ("packs", "meta"),
    ("20261122", "20261121"),
    ("01234567", "01234568"),
    ("0000000001", "0000000002"),
    ("lost", POINT),
    (REPOSITORY, REPOSITORY[::-1]),
]


def names(secret: bytes = KEY, repository: str = REPOSITORY) -> RecordNames:
    return RecordNames(name_key(secret, repository), bool(secret))


def origin(key: str, judge: RecordNames, stored_at: datetime = NOW) -> Origin:
    return judge.judged(StoredObject(key, 0, stored_at)).origin


def test_the_name_is_as_the_format_says() -> None:
    derived = blake3(KEY + REPOSITORY.encode(), derive_key_context="backup_platform 1 ledger names").digest()
    for says in SAYS:
        assert names().name(says) == f"{says}-{blake3(says.encode(), key=derived).hexdigest()[:32]}"


@pytest.mark.parametrize("says", SAYS)
@pytest.mark.parametrize("secret", [KEY, b""], ids=["encrypted", "unencrypted"])
def test_only_its_own_place_and_words_have_the_hash(says: str, secret: bytes) -> None:
    judge = names(secret)
    key = judge.name(says)
    assert kind_of(says)
    assert judge.judged(StoredObject(key, 0, NOW)).says == says
    assert origin(key, judge) is Origin.GENUINE
    moved = {key.replace(old, new) for old, new in CHANGES} - {key}
    assert moved
    assert {origin(each, judge) for each in moved} == {Origin.FORGED}
    assert origin(says, judge) is (Origin.OLDER if secret else Origin.GENUINE)


@pytest.mark.parametrize("says", SAYS)
def test_another_key_and_another_repository_make_other_names(says: str) -> None:
    for other in (names(bytes(32)), names(b""), names(repository=REPOSITORY[::-1])):
        assert origin(other.name(says), names()) is Origin.FORGED


@given(st.text("0123456789abcdef", min_size=32, max_size=32))
def test_a_hash_that_is_guessed_is_forged(guess: str) -> None:
    assert origin(f"{SAYS[0]}-{guess}", names()) is Origin.FORGED


@pytest.mark.parametrize(
    ("ahead", "expected"),
    [(0, Origin.GENUINE), (-400 * 86400, Origin.GENUINE), (300, Origin.GENUINE), (301, Origin.AHEAD)],
)
@pytest.mark.parametrize("secret", [KEY, b""], ids=["encrypted", "unencrypted"])
def test_a_time_that_the_store_had_not_reached(ahead: int, expected: Origin, secret: bytes) -> None:
    judge = names(secret)
    assert origin(judge.name(SAYS[0]), judge, NOW - timedelta(seconds=ahead)) is expected


@pytest.mark.parametrize(
    "key", ["ledger/proofs/.DS_Store", "ledger/", f"ledger/proofs/{POINT}", f"ledger/other/{POINT}", ""]
)
def test_what_is_no_record(key: str) -> None:
    assert kind_of(key) == ""


def test_a_name_that_is_longer_than_any_is_forged_whatever_its_hash_is() -> None:
    names = RecordNames(name_key(KEY, REPOSITORY), secret=True)
    for length, origin in ((200, Origin.GENUINE), (MAX_LEDGER_NAME + 1, Origin.FORGED)):
        says = f"ledger/reads/{'x' * length}"
        assert names.judged(StoredObject(names.name(says), 1, NOW)).origin is origin
    assert max(len(names.name(says)) for says in SAYS) < MAX_LEDGER_NAME
