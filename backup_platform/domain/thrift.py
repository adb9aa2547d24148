"""The part of Thrift's compact protocol that Parquet's metadata uses. Structs are dicts from field to (type, value).
When encoding, structs that are encoded already may be given as bytes."""

from __future__ import annotations

from typing import Any

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)
_INTEGERS = (I16, I32, I64)
Struct = dict[int, tuple[int, Any]]
List = tuple[int, list[Any]]  # type of the elements, elements


def decode(data: bytes, most: int = 1 << 62) -> tuple[Struct, int]:
    """A struct with at most so many values, and how many bytes it took. Raises ValueError for a type that Parquet does
    not use, and IndexError for data that ends too early."""
    reader = _Reader(data, most)
    return reader.struct(), reader.at


def encode(value: Struct) -> bytes:
    out = bytearray()
    _write(out, STRUCT, value)
    return bytes(out)


class _Reader:
    """A footer has a thousand values: what is frequent comes first, and a number of one byte takes no call."""

    __slots__ = ("at", "data", "left")

    def __init__(self, data: bytes, most: int) -> None:
        self.data, self.at, self.left = data, 0, most

    def struct(self) -> Struct:
        data, value = self.data, self.value
        found: Struct = {}
        field = 0
        while head := data[self.at]:
            self.at += 1
            field = field + (head >> 4) if head >> 4 else self.integer()
            found[field] = (head & 15, value(head & 15))
        self.at += 1
        return found

    def value(self, kind: int) -> Any:
        self.left -= 1
        if self.left < 0:
            raise ValueError("too many values")
        if I16 <= kind <= I64:
            return self.integer()
        if kind == BINARY:
            return self.take(self.varint())
        if kind == STRUCT:
            return self.struct()
        if kind == LIST:
            return self.list()
        return self._rare(kind)

    def _rare(self, kind: int) -> Any:
        if kind in (TRUE, FALSE):
            return None
        if kind == BYTE:
            return self.byte()
        if kind == DOUBLE:
            return self.take(8)
        raise ValueError(f"thrift type {kind}")

    def list(self) -> List:
        head = self.byte()
        kind, count = head & 15, head >> 4
        count = self.varint() if count == 15 else count
        if kind in (TRUE, FALSE):
            return kind, [self.byte() for _ in range(count)]
        return kind, [self.value(kind) for _ in range(count)]

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def take(self, count: int) -> bytes:
        self.at += count
        return self.data[self.at - count : self.at]

    def integer(self) -> int:
        byte = self.data[self.at]
        if byte > 127:
            return _signed(self.varint())
        self.at += 1
        return byte >> 1 ^ -(byte & 1)

    def varint(self) -> int:
        data, at, value, shift = self.data, self.at, 0, 0
        while (byte := data[at]) > 127:
            value |= (byte & 127) << shift
            shift += 7
            at += 1
        self.at = at + 1
        return value | byte << shift


def _write(out: bytearray, kind: int, value: Any) -> None:
    if kind in _INTEGERS:
        _write_varint(out, value << 1 if value >= 0 else (-value << 1) - 1)
    elif kind == BYTE:
        out.append(value)
    elif kind in (BINARY, DOUBLE):
        if kind == BINARY:
            _write_varint(out, len(value))
        out += value
    elif kind == LIST:
        _write_list(out, *value)
    elif kind == STRUCT and isinstance(value, bytes):
        out += value
    elif kind == STRUCT:
        _write_struct(out, value)


def _write_struct(out: bytearray, value: Struct) -> None:
    last = 0
    for field, (kind, content) in sorted(value.items()):
        if 0 < field - last < 16:
            out.append(field - last << 4 | kind)
        else:
            out.append(kind)
            _write(out, I16, field)
        last = field
        _write(out, kind, content)
    out.append(0)


def _write_list(out: bytearray, kind: int, values: list[Any]) -> None:
    if len(values) < 15:
        out.append(len(values) << 4 | kind)
    else:
        out.append(0xF0 | kind)
        _write_varint(out, len(values))
    for value in values:
        _write(out, BYTE if kind in (TRUE, FALSE) else kind, value)


def _write_varint(out: bytearray, value: int) -> None:
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)


def _signed(value: int) -> int:
    return value >> 1 ^ -(value & 1)
