"""Bech32 (BIP 173) without its limit of length, as age writes keys: what it is, `1`, data, checksum."""

from __future__ import annotations

CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
CHECKSUM = 6


def encode(prefix: str, data: bytes) -> str:
    """Lower case. `prefix` is lower case, too."""
    values = _regroup(data, 8, 5)
    residue = _polymod([*_expand(prefix), *values, *[0] * CHECKSUM]) ^ 1
    checksum = [residue >> 5 * (CHECKSUM - 1 - i) & 31 for i in range(CHECKSUM)]
    return prefix + "1" + "".join(CHARSET[value] for value in (*values, *checksum))


def decode(prefix: str, text: str) -> bytes:
    """The data of a text that is all lower or all upper case. Raises ValueError, which does not show the text."""
    lower = text.lower()
    head, _, tail = lower.rpartition("1")
    if text not in (lower, text.upper()) or head != prefix or not set(tail) <= set(CHARSET):
        raise ValueError(f"does not begin with {prefix}1, or has characters that are not allowed")
    values = [CHARSET.index(character) for character in tail]
    if len(values) < CHECKSUM or _polymod([*_expand(prefix), *values]) != 1:
        raise ValueError("its checksum is wrong: it was cut short or mistyped")
    return _bytes(values[:-CHECKSUM])


def _bytes(values: list[int]) -> bytes:
    bits = 5 * len(values) % 8
    if bits >= 5 or (values and values[-1] & (1 << bits) - 1):
        raise ValueError("its padding is wrong")
    return bytes(_regroup(values, 5, 8)[: 5 * len(values) // 8])


def _regroup(values: bytes | list[int], source: int, target: int) -> list[int]:
    """Numbers of `source` bits each as numbers of `target` bits, zeros appended."""
    number = 0
    for value in values:
        number = number << source | value
    bits = source * len(values)
    padding = -bits % target
    number <<= padding
    count = (bits + padding) // target
    return [number >> target * (count - 1 - i) & (1 << target) - 1 for i in range(count)]


def _expand(prefix: str) -> list[int]:
    return [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]


def _polymod(values: list[int]) -> int:
    residue = 1
    for value in values:
        top = residue >> 25
        residue = (residue & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(GENERATOR):
            residue ^= generator if top >> bit & 1 else 0
    return residue
