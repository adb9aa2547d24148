"""Bech32: the vectors of BIP 173, and what a mistyped key becomes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup_platform.repository.encryption import bech32

ABCDEF = bytes.fromhex("00443214c74254b635cf84653a56d7c675be77df")
VALID = [  # without those whose data is no whole number of bytes
    ("a", "A12UEL5L", b""),
    ("a", "a12uel5l", b""),
    ("abcdef", "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw", ABCDEF),
]
INVALID = [
    "A12uEL5L",  # two cases
    "a12uel5m",  # checksum
    "b12uel5l",  # another prefix
    "a12uel5",  # cut short
    "a1b2uel5l",  # b is no character
    "a",
    "",
    "1qzzfhee",
]  # fmt: skip


@pytest.mark.parametrize(("prefix", "text", "data"), VALID)
def test_valid(prefix: str, text: str, data: bytes) -> None:
    assert bech32.decode(prefix, text) == data
    assert bech32.encode(prefix, data) == text.lower()


@pytest.mark.parametrize("text", INVALID)
def test_invalid(text: str) -> None:
    with pytest.raises(ValueError):
        bech32.decode("a", text)


@given(data=st.binary(max_size=100), position=st.integers(0, 1000), character=st.sampled_from(bech32.CHARSET))
def test_round_trip_and_any_one_wrong_character_is_seen(data: bytes, position: int, character: str) -> None:
    text = bech32.encode("age", data)
    assert bech32.decode("age", text) == bech32.decode("age", text.upper()) == data
    at = 4 + position % (len(text) - 4)
    if text[at] != character:
        with pytest.raises(ValueError):
            bech32.decode("age", text[:at] + character + text[at + 1 :])


def test_a_padding_that_is_not_zero_is_refused() -> None:
    values = [0, 1]  # ten bits: a byte and two bits that must be zero
    residue = bech32._polymod([*bech32._expand("a"), *values, *[0] * 6]) ^ 1
    tail = "".join(bech32.CHARSET[v] for v in (*values, *(residue >> 5 * (5 - i) & 31 for i in range(6))))
    with pytest.raises(ValueError, match="padding"):
        bech32.decode("a", "a1" + tail)
