"""The age format: files of other implementations are read, ours are read by them, and no damage goes unseen."""

from __future__ import annotations

import os
import re
import subprocess
from base64 import b64encode
from pathlib import Path

import pyrage
import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given
from hypothesis import strategies as st

from backup_platform.domain.limits import MAX_HEADER, MAX_RECIPIENTS
from backup_platform.errors import DamageError
from backup_platform.repository.encryption import age, bech32
from backup_platform.repository.encryption.age import SEALED, SEGMENT, Identity, Recipient
from backup_platform_tests.support import IDENTITIES, flipped, noise

SIZES = [0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT, 3 * SEGMENT + 5]
OURS, OTHERS, STRANGER = (Identity(text) for text in IDENTITIES)
LOW_ORDER = (bytes(32), b"\x01" + bytes(31), bytes.fromhex("ed" + "ff" * 30 + "7f"))
BOTH = [Recipient(OURS.recipient), Recipient(OTHERS.recipient)]


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("age") / "key.txt"
    path.write_text(f"# created by a test\n{IDENTITIES[1]}\n")
    return path


def run_age(data: bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Debian's `age`."""
    return subprocess.run(["age", *arguments], input=data, capture_output=True, check=False)


@pytest.mark.parametrize("size", SIZES)
def test_the_age_program_and_this_module_read_each_other(size: int, key_file: Path) -> None:
    plain = noise(size, 1)
    file, _ = age.encrypt(plain, BOTH)
    read = run_age(bytes(file), "-d", "-i", str(key_file))
    assert (read.returncode, read.stdout) == (0, plain), read.stderr
    theirs = run_age(plain, "-r", OURS.recipient, "-r", OTHERS.recipient).stdout
    assert age.decrypt(theirs, [OURS]) == age.decrypt(theirs, [STRANGER, OTHERS]) == plain
    assert age.decrypt(theirs, [STRANGER]) is None


@pytest.mark.parametrize("size", SIZES)
def test_pyrage_and_this_module_read_each_other(size: int) -> None:
    plain = noise(size, 2)
    file, _ = age.encrypt(plain, BOTH)
    for text in IDENTITIES[:2]:
        assert pyrage.decrypt(bytes(file), [pyrage.x25519.Identity.from_str(text)]) == plain
    theirs = pyrage.encrypt(plain, [pyrage.x25519.Recipient.from_str(OURS.recipient)])
    assert age.decrypt(theirs, [OURS]) == plain
    assert age.decrypt(theirs, [OTHERS]) is None


def test_keys_are_those_of_the_age_program(key_file: Path, tmp_path: Path) -> None:
    shown = subprocess.run(
        ["age-keygen", "-y", str(key_file)], capture_output=True, text=True, check=True
    ).stdout
    assert shown.strip() == OTHERS.recipient
    made = subprocess.run(["age-keygen"], capture_output=True, text=True, check=True).stdout
    identity = Identity(made.splitlines()[-1])
    assert f"# public key: {identity.recipient}\n" in made
    (tmp_path / "new").write_text(age.generate_identity())
    assert subprocess.run(["age-keygen", "-y", str(tmp_path / "new")], check=True, capture_output=True).stdout


def test_stanzas_of_other_kinds_are_passed_over() -> None:
    """`age` writes such "grease" at random."""
    file_key = os.urandom(16)

    class Grease(Recipient):
        def wrap(self, file_key: bytes, random: age.Random = os.urandom) -> bytes:
            return b"-> grease a ~!\n" + b64encode(bytes(48)) + b"\n\n-> x\n\n"

    header, key = age.make_header(file_key, [Grease(OURS.recipient), *BOTH])
    file = bytearray(b"abc")
    age.write_stream(key, header, file)
    assert age.decrypt(file, [OTHERS]) == b"abc"


def test_a_bytearray_becomes_the_file() -> None:
    """No second buffer of a pack's size."""
    plain = noise(3 * SEGMENT + 5, 8)
    given = bytearray(plain)
    file, _ = age.encrypt(given, BOTH)
    assert file is given
    assert pyrage.decrypt(bytes(file), [pyrage.x25519.Identity.from_str(IDENTITIES[1])]) == plain
    kept, _ = age.encrypt(plain, BOTH)
    assert age.decrypt(kept, [OURS]) == plain


# Damage


def read_all_ways(file: bytes, file_key: bytes) -> None:
    """Raises DamageError, or is None to us, and is an error to the others, too."""
    with pytest.raises(BaseException):  # noqa: B017  pyrage has a class of its own, and panics
        pyrage.decrypt(file, [pyrage.x25519.Identity.from_str(IDENTITIES[1])])
    with pytest.raises(DamageError):
        age.decrypt_with(file, file_key)
    try:
        assert age.decrypt(file, [OTHERS]) is None
    except DamageError:
        return


@pytest.fixture(scope="module")
def sample() -> tuple[bytes, bytes]:
    file, file_key = age.encrypt(noise(2 * SEGMENT + 100, 3), BOTH)
    return bytes(file), file_key


def payload_of(file: bytes) -> int:
    return age.whole_header(memoryview(file)).length


def test_every_flipped_bit_of_the_header_is_seen(sample: tuple[bytes, bytes]) -> None:
    file, file_key = sample
    for position in range(payload_of(file)):
        for bit in (1, 0x10, 0x80):
            altered = bytearray(file)
            altered[position] ^= bit
            read_all_ways(bytes(altered), file_key)


def test_the_one_encoding_of_the_hmac_is_demanded(sample: tuple[bytes, bytes]) -> None:
    """Two bits of its last character mean nothing, and nothing authenticates them."""
    file, file_key = sample
    last = file.index(b"\n--- ") + 5 + 42
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    altered = bytearray(file)
    altered[last] = alphabet[alphabet.index(file[last]) + 1]
    read_all_ways(bytes(altered), file_key)


def test_a_flipped_bit_of_each_segment_is_seen(sample: tuple[bytes, bytes]) -> None:
    file, file_key = sample
    start = payload_of(file)
    for position in (start, start + SEALED - 1, start + SEALED, start + 2 * SEALED, len(file) - 1):
        read_all_ways(flipped(file, position), file_key)


def segments(file: bytes) -> tuple[bytes, list[bytes]]:
    start = payload_of(file)
    return file[:start], [file[at : at + SEALED] for at in range(start, len(file), SEALED)]


def test_truncation_is_seen_wherever_it_is(sample: tuple[bytes, bytes]) -> None:
    file, file_key = sample
    start = payload_of(file)
    borders = [start + n * SEALED for n in range(3)]
    near = {border + extra for border in borders for extra in (0, 1, 15, 16, 17)}
    for length in {0, 1, 21, 22, start - 17, start - 1} | near:
        read_all_ways(file[:length], file_key)


def test_reordered_dropped_doubled_and_appended_segments_are_seen(sample: tuple[bytes, bytes]) -> None:
    file, file_key = sample
    header, (a, b, c) = segments(file)
    for parts in (
        [b, a, c],
        [a, c],
        [b, c],
        [a, a, b, c],
        [a, b, c, c],
        [c],
        [a, b, c, b""],
        [a, b, c + b"\0"],
    ):
        altered = header + b"".join(parts)
        if altered != file:
            read_all_ways(altered, file_key)


def test_a_segment_of_another_file_is_seen() -> None:
    (one, key), (two, _) = (age.encrypt(noise(2 * SEGMENT, n), BOTH) for n in (1, 2))
    (head, (a, _)), (_, (_, d)) = segments(bytes(one)), segments(bytes(two))
    read_all_ways(head + a + d, key)


def sealed_segments(plains: list[bytes], finals: list[bool]) -> tuple[bytes, bytes]:
    """A file of segments that a sound writer would not make."""
    file_key = os.urandom(16)
    header, key = age.make_header(file_key, BOTH)
    cipher = ChaCha20Poly1305(key)
    numbered = enumerate(zip(plains, finals, strict=True))
    return header + b"".join(
        cipher.encrypt(number.to_bytes(11, "big") + bytes([final]), plain, None)
        for number, (plain, final) in numbered
    ), file_key


@pytest.mark.parametrize(
    ("plains", "finals"),
    [
        ([bytes(SEGMENT), b""], [False, True]),  # the last may be empty only when it is the first
        ([bytes(SEGMENT), bytes(5)], [False, False]),
        ([bytes(SEGMENT), bytes(5)], [True, True]),
        ([bytes(SEGMENT)], [False]),
        ([b""], [False]),
        ([bytes(100), bytes(5)], [False, True]),
    ],
)
def test_segments_that_break_the_rules_are_refused(plains: list[bytes], finals: list[bool]) -> None:
    read_all_ways(*sealed_segments(plains, finals))


def test_the_one_segment_of_an_empty_file_may_be_empty() -> None:
    file, _ = sealed_segments([b""], [True])
    assert age.decrypt(file, [OURS]) == b""


def with_stanza(stanza: bytes) -> bytes:
    """A header whose HMAC is right, and one of whose stanzas is not."""

    class Odd(Recipient):
        def wrap(self, file_key: bytes, random: age.Random = os.urandom) -> bytes:
            return stanza

    header, key = age.make_header(bytes(16), [Odd(OURS.recipient), *BOTH])
    file = bytearray()
    age.write_stream(key, header, file)
    return bytes(file)


B32, B31 = b64encode(bytes(32)).rstrip(b"="), b64encode(bytes(31)).rstrip(b"=")


@pytest.mark.parametrize(
    "stanza",
    [
        b"-> X25519\n" + B32 + b"\n",  # no share
        b"-> X25519 " + B32 + b" more\n" + B32 + b"\n",
        b"-> X25519 " + B31 + b"\n" + B32 + b"\n",
        b"-> X25519 " + B32 + b"=\n" + B32 + b"\n",
        b"-> X25519 " + B32[:-1] + b"B\n" + B32 + b"\n",  # bits that must be zero
        b"-> X25519 " + B32 + b"\n" + B32 + b"\n",  # a point of low order
        b"-> X25519 " + B32 + b"\n" + B31 + b"\n",
        b"-> X25519 " + B32 + b"\n\n",
        b"-> \n\n",
        b"->\n\n",
        b"-> \x7f\n\n",
        b"X25519\n\n",
    ],
)
def test_malformed_stanzas_are_refused(stanza: bytes) -> None:
    with pytest.raises(DamageError):
        age.decrypt(with_stanza(stanza), [OURS])


def test_a_header_that_is_too_large_is_not_called_cut_short() -> None:
    file, _ = age.encrypt(b"data", [Recipient(OURS.recipient)] * (MAX_HEADER // 98 + 1))
    with pytest.raises(
        DamageError, match=f"larger than 64 KiB: it has more than {MAX_RECIPIENTS} recipients"
    ):
        age.decrypt(file, [OURS])
    with pytest.raises(DamageError, match="larger than 64 KiB"):
        age.decrypt(file[: 67 << 10], [OURS])
    most, _ = age.encrypt(b"data", [Recipient(OURS.recipient)] * MAX_RECIPIENTS)
    assert age.decrypt(most, [OURS]) == b"data"
    with pytest.raises(DamageError, match="cut short"):
        age.decrypt(most[: 40 << 10], [OURS])


def test_a_header_without_stanzas_is_refused() -> None:
    header, _ = age.make_header(bytes(16), [])
    with pytest.raises(DamageError):
        age.decrypt(header + bytes(16), [OURS])


# Parts


@given(size=st.integers(0, 3 * SEGMENT), data=st.data())
def test_any_part_is_read_from_the_segments_that_hold_it(size: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, size))
    length = data.draw(st.integers(0, size - start))
    plain = noise(size, 5)
    file, file_key = age.encrypt(plain, BOTH[:1])
    asked: list[int] = []

    def read(at: int, amount: int) -> bytes:
        asked.append(amount)
        return bytes(file[at : at + amount])

    header = age.parse_header(bytes(file[:4096]))
    assert header is not None
    stream = age.open_file(header, file_key, len(file))
    assert stream.plain == size
    assert stream.read(start, length, read) == plain[start : start + length]
    assert sum(asked) <= length + 2 * SEALED
    with pytest.raises(DamageError):
        stream.read(start, size - start + 1, read)


def test_a_part_read_checks_what_it_reads(sample: tuple[bytes, bytes]) -> None:
    file, file_key = sample
    broken = flipped(file, payload_of(file) + SEALED + 7)
    stream = age.open_file(age.whole_header(memoryview(file)), file_key, len(file))

    def read(at: int, amount: int) -> bytes:
        return broken[at : at + amount]

    assert stream.read(5, 100, read) == noise(2 * SEGMENT + 100, 3)[5:105]
    with pytest.raises(DamageError):
        stream.read(SEGMENT + 5, 1, read)
    with pytest.raises(DamageError, match="cut short"):
        stream.read(0, 10, lambda at, amount: file[at : at + amount - 1])


# Keys


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "age1",
            "age1qqqq",
            OURS.recipient.upper(),
            OURS.recipient[:-1],
            IDENTITIES[0],
            "ssh-ed25519 AAAA",
        ),
        *(bech32.encode("age", point) for point in (b"", bytes(31), bytes(33))),
        *(bech32.encode("age", point) for point in LOW_ORDER),
    ],
)
def test_what_is_no_recipient(text: str) -> None:
    with pytest.raises(ValueError):
        Recipient(text)


@pytest.mark.parametrize(
    "text", ["", "AGE-SECRET-KEY-1", OURS.recipient, IDENTITIES[0][:-1], IDENTITIES[0].title()]
)
def test_what_is_no_identity(text: str) -> None:
    with pytest.raises(ValueError) as raised:
        Identity(text)
    assert text[20:40] not in str(raised.value) or not text[20:40]


def test_an_identity_does_not_show_itself() -> None:
    shown = repr(OURS) + str(OURS) + repr(vars(OURS))
    assert not re.search(IDENTITIES[0][16:30], shown, re.IGNORECASE)


def test_every_file_has_another_key_and_another_nonce() -> None:
    files = [age.encrypt(b"same", BOTH) for _ in range(50)]
    assert len({key for _, key in files}) == len({bytes(file) for file, _ in files}) == 50
