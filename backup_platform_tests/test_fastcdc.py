"""Both implementations of FastCDC cut at the bytes that FORMAT.md says."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from itertools import pairwise
from math import log2
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import backup_platform
from backup_platform import fastcdc
from backup_platform.fastcdc import Cutter, cutter
from backup_platform.fastcdc.vectorised import VectorisedCutter, gear, mask
from backup_platform.repository.points.chunking import CONTENTS, METADATA, ContentDefined
from backup_platform_tests.support import noise, text

FORMAT = Path(backup_platform.__file__).parent / "repository" / "FORMAT.md"
SEED = 0x0123456789ABCDEF


def cutters(how: ContentDefined) -> tuple[Cutter, Cutter]:
    """The compiled one, and ours."""
    compiled = cutter(how.minimum, how.average, how.maximum, normalization=how.normalization, seed=how.seed)
    assert not isinstance(compiled, VectorisedCutter)
    ours = VectorisedCutter(how.minimum, how.average, how.maximum, how.normalization, how.seed)
    return compiled, ours


def by_the_book(data: bytes, how: ContentDefined) -> list[int]:
    """FORMAT.md §2, sentence by sentence."""
    words = [
        int.from_bytes(hashlib.md5(bytes([byte]) * 64).digest()[:8], "big") ^ how.seed for byte in range(256)
    ]
    bits = round(log2(how.average))
    first, second = mask(bits + how.normalization), mask(bits - how.normalization)
    ends, at = [], 0
    while at < len(data):
        size = hashed = 0
        n = min(len(data) - at, how.maximum)
        if n > how.minimum:
            for p in range(how.minimum // 2 * 2, n // 2 * 2):
                hashed = (2 * hashed + words[data[at + p]]) % 2**64
                if not hashed & (first if p < min(how.average, n) // 2 * 2 else second):
                    size = p
                    break
        at += size or n
        ends.append(at)
    return ends


def repeated(size: int, seed: int) -> bytes:
    """A few bytes again and again: hashes repeat, and many chunks are as long as they may be."""
    unit = noise(1 + seed % 97, seed)
    return (unit * (size // len(unit) + 1))[:size]


def of_two_values(size: int, seed: int) -> bytes:
    return bytes(byte & 1 for byte in noise(size, seed))


def constant(size: int, seed: int) -> bytes:
    return bytes([seed % 256]) * size


KINDS = st.sampled_from([noise, text, repeated, of_two_values, constant])


@st.composite
def sizes(draw: st.DrawFn) -> ContentDefined:
    """All that pyfastcdc takes, up to what is quick."""
    minimum = draw(st.integers(64, 900))
    average = draw(st.integers(max(256, minimum), 2500))
    maximum = draw(st.integers(max(1024, average), 6000))
    seed = draw(st.sampled_from([0, 1, SEED, 2**63 - 1]))
    return ContentDefined(minimum, average, maximum, draw(st.integers(0, 3)), seed)


@st.composite
def cases(draw: st.DrawFn) -> tuple[bytes, ContentDefined]:
    """Data of any size, and of sizes at which one rule ends and another begins."""
    how = draw(sizes())
    edge = draw(st.sampled_from([how.minimum, how.average, how.maximum, 2 * how.maximum]))
    size = draw(st.one_of(st.integers(0, 40_000), st.integers(edge - 3, edge + 3)))
    return draw(KINDS)(size, draw(st.integers(0, 10_000))), how


@settings(max_examples=300)
@given(cases())
def test_both_cut_at_the_same_bytes(case: tuple[bytes, ContentDefined]) -> None:
    data, how = case
    compiled, ours = (list(each.ends(data)) for each in cutters(how))
    assert ours == compiled
    assert ours[-1:] == ([len(data)] if data else [])
    assert all(0 < end - start <= how.maximum for start, end in pairwise([0, *ours]))


@settings(max_examples=40)
@given(cases())
def test_both_cut_as_the_format_says(case: tuple[bytes, ContentDefined]) -> None:
    data, how = case
    expected = by_the_book(data[:12_000], how)
    assert [list(each.ends(data[:12_000])) for each in cutters(how)] == [expected, expected]


@pytest.mark.parametrize("how", [CONTENTS, METADATA, CONTENTS.seeded(SEED), METADATA.seeded(SEED)])
@pytest.mark.parametrize("kind", [noise, text, constant])
def test_both_cut_at_the_same_bytes_with_the_sizes_that_are_in_use(how: ContentDefined, kind: object) -> None:
    assert callable(kind)
    data = kind(12 * how.average + 77, 5)
    compiled, ours = (list(each.ends(data)) for each in cutters(how))
    assert ours == compiled


def test_the_format_has_the_masks_and_the_right_test_vectors() -> None:
    """Whoever writes another implementation begins with these."""
    words = " ".join(FORMAT.read_text().split())
    for bits in (15, 17, 18, 20):
        assert f"`{mask(bits):x}`" in words
    first, second = re.findall(
        r"are cut with (?:these sizes|the parameters above) at ([\d, ]+and \d+)", words
    )
    for passage, how, size in ((first, METADATA, 1_048_576), (second, CONTENTS, 4_194_304)):
        data = hashlib.shake_128(b"").digest(size)
        found = [int(number) for number in re.findall(r"\d+", passage)]
        assert [[*found, size]] * 2 == [list(each.ends(data)) for each in cutters(how)]


def test_the_gear_table_is_that_of_the_paper() -> None:
    """Its first and last words, as every implementation prints them."""
    assert [f"{int(word):016x}" for word in gear()[[0, 1, 255]]] == [
        "3b5d3c7d207e37dc",
        "784d68ba91123086",
        "aabd2b2a451504e1",
    ]


WITHOUT = """
import logging, sys
logging.basicConfig(format="%(message)s", stream=sys.stdout)
sys.modules["pyfastcdc"] = None
from backup_platform.fastcdc import is_slow
from backup_platform.repository.points.chunking import METADATA
from backup_platform.sources.tabular.chunking import PageChunks
from backup_platform_tests.support import noise
assert is_slow()
data = noise(2_000_000, 9)
print(*(len(chunk) for how in (METADATA, PageChunks()) for chunk in how.cut([data])))
"""


def test_without_pyfastcdc_everything_is_cut_as_before_and_that_is_said_once() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True)
    said, lengths = done.stdout.splitlines()
    assert said.startswith("The compiled chunker of pyfastcdc is not installed")
    from backup_platform.sources.tabular.chunking import PageChunks

    data = noise(2_000_000, 9)
    expected = [len(chunk) for how in (METADATA, PageChunks()) for chunk in how.cut([data])]
    assert [int(length) for length in lengths.split()] == expected
    assert not fastcdc.is_slow()


def test_what_pyfastcdc_has_without_a_compiler_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a hundred times slower than ours."""
    import pyfastcdc
    from pyfastcdc.py import FastCDC

    monkeypatch.setattr(pyfastcdc, "FastCDC", FastCDC)
    assert fastcdc.is_slow()
    assert isinstance(cutter(64, 256, 1024), VectorisedCutter)
