"""Packs: zstd frames and their table of contents (FORMAT.md §4)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import zstandard

from backup_platform.domain.limits import (
    MAX_BLOB,
    MAX_FRAME,
    MAX_FRAME_STORED,
    MAX_PACK,
    MAX_TABLE,
    PACK_BLOBS,
)
from backup_platform.domain.ports import Buffer, Part
from backup_platform.errors import DamageError
from backup_platform.repository.encryption.cipher import Whole
from backup_platform.repository.objects.names import Hash, digest

SKIPPABLE = 0x184D2A5B
TABLE_MAGIC = b"BPTOC\x00\x00\x01"
TAIL_MAGIC = b"BPT1"
SKIP = struct.Struct("<II")
TAIL = struct.Struct("<I4s")
HEAD = struct.Struct("<8sII")
FRAME = struct.Struct("<III")
BLOB = struct.Struct("<32sI")
PACK_TARGET = 16 << 20
FRAME_TARGET = 1 << 20
FRAME_BLOBS = 1 << 16
OTHER_LEVELS = (3, 1, 5, 9, -1)


@dataclass(frozen=True, slots=True)
class Frame:
    """One zstd frame of a pack: where it is, and its blobs as (id, length) in order."""

    offset: int
    stored: int
    plain: int
    blobs: tuple[tuple[bytes, int], ...]


@dataclass(slots=True)
class PackBuilder:
    """Collects frames into the plain bytes of one pack."""

    data: bytearray = field(default_factory=bytearray)
    frames: list[Frame] = field(default_factory=list)
    blobs: int = 0

    def add(self, compressed: Buffer, plain: int, blobs: Sequence[tuple[bytes, int]]) -> None:
        self.blobs += len(blobs)
        self.frames.append(Frame(len(self.data), len(compressed), plain, tuple(blobs)))
        self.data += compressed

    @property
    def full(self) -> bool:
        return len(self.data) >= PACK_TARGET or self.blobs >= PACK_BLOBS

    def finish(self) -> bytearray:
        """The pack's plain bytes, complete. The builder gives them away, and keeps the frames only."""
        table = encode_table(self.frames)
        data, self.data = self.data, bytearray()
        data += SKIP.pack(SKIPPABLE, len(table)) + table
        return data


def encode_table(frames: Sequence[Frame]) -> bytes:
    blobs = [BLOB.pack(*blob) for frame in frames for blob in frame.blobs]
    parts = [HEAD.pack(TABLE_MAGIC, len(frames), len(blobs))]
    parts += [FRAME.pack(f.stored, f.plain, len(f.blobs)) for f in frames]
    body = b"".join(parts + blobs)
    return body + TAIL.pack(len(body) + TAIL.size, TAIL_MAGIC)


def pack_length(end: Any, frames: Any, blobs: Any) -> Any:
    """Length of a plain pack whose last frame ends there. Numbers, or arrays of them."""
    return end + SKIP.size + HEAD.size + FRAME.size * frames + BLOB.size * blobs + TAIL.size


def table_length(tail: Buffer) -> int:
    """Length of the table, from the last 8 bytes of a pack. Raises DamageError."""
    length, magic = TAIL.unpack(bytes(tail[-TAIL.size :])) if len(tail) >= TAIL.size else (0, b"")
    if magic != TAIL_MAGIC or length < HEAD.size + TAIL.size:
        raise DamageError("The pack has no table of contents: it is cut short or altered.")
    if length > MAX_TABLE:
        raise DamageError(f"The pack's table of contents has {length:,} bytes, which is more than the limit.")
    return int(length)


def decode_table(table: Buffer) -> list[Frame]:
    """Frames of a pack from its table (from "BPTOC" to the pack's end). Raises DamageError."""
    try:
        return _decode_table(memoryview(table))
    except (struct.error, IndexError) as error:
        raise DamageError("The pack's table of contents is altered.") from error


def _decode_table(table: memoryview) -> list[Frame]:
    magic, frame_count, blob_count = HEAD.unpack_from(table)
    expected = HEAD.size + FRAME.size * frame_count + BLOB.size * blob_count + TAIL.size
    if magic != TABLE_MAGIC or len(table) != expected:
        raise DamageError("The pack's table of contents is altered.")
    blobs = list(BLOB.iter_unpack(table[expected - TAIL.size - BLOB.size * blob_count : -TAIL.size]))
    frames, offset, first = list[Frame](), 0, 0
    for stored, plain, count in FRAME.iter_unpack(table[HEAD.size : HEAD.size + FRAME.size * frame_count]):
        frames.append(Frame(offset, stored, plain, tuple(blobs[first : first + count])))
        offset, first = offset + stored, first + count
    if first != blob_count or not frames or not all(map(_possible, frames)):
        raise DamageError("The pack's table of contents is altered.")
    return frames


def _possible(frame: Frame) -> bool:
    lengths = [length for _, length in frame.blobs]
    whole = bool(lengths) and min(lengths) > 0 and max(lengths) <= MAX_BLOB and sum(lengths) == frame.plain
    return whole and frame.plain <= MAX_FRAME and 0 < frame.stored <= MAX_FRAME_STORED


Plain = Callable[[int, int], Buffer]  # (start, length) -> exactly those plain bytes of a pack


def frames_of(pack: Buffer) -> list[Frame]:
    """Frames of a whole plain pack. Raises DamageError."""
    view = memoryview(pack)
    return _frames(len(view), lambda start, length: view[start : start + length])


def _frames(size: int, plain: Plain) -> list[Frame]:
    if size > MAX_PACK:
        raise DamageError(f"The pack has {size:,} bytes, which is more than the limit.")
    last = min(size, TAIL.size)
    length = table_length(plain(size - last, last))
    if length > size:
        raise DamageError("The pack is cut short.")
    frames = decode_table(plain(size - length, length))
    end = frames[-1].offset + frames[-1].stored if frames else 0
    skippable = SKIP.pack(SKIPPABLE, length)
    if end + len(skippable) + length != size or plain(end, len(skippable)) != skippable:
        raise DamageError("The pack's frames do not match its table of contents.")
    return frames


def decompress(compressed: Buffer, plain: int, decompressor: zstandard.ZstdDecompressor) -> bytes:
    """One frame's plain bytes, exactly `plain` of them. Raises DamageError."""
    if plain > MAX_FRAME:
        raise DamageError(f"A compressed frame of {plain:,} bytes is larger than the limit.")
    try:
        declared = zstandard.frame_content_size(compressed)
        data = decompressor.decompress(compressed, allow_extra_data=False) if declared == plain else b""
    except zstandard.ZstdError as error:
        raise DamageError(f"A compressed frame cannot be decoded: {error}.") from error
    if len(data) != plain:
        raise DamageError(f"A compressed frame decodes to {len(data)} bytes instead of {plain}.")
    return data


def split(
    data: Buffer, blobs: Sequence[tuple[bytes, int]], hashed: Hash = digest
) -> Iterator[tuple[bytes, memoryview]]:
    """The blobs of a decompressed frame, each compared with its id. Raises DamageError."""
    view, offset = memoryview(data), 0
    for identity, length in blobs:
        blob = view[offset : offset + length]
        if len(blob) != length or length > MAX_BLOB or hashed(blob) != identity:
            raise DamageError(f"The blob {identity.hex()[:12]} is altered: its hash is not its name.")
        offset += length
        yield identity, blob
    if offset != len(view):
        raise DamageError("A frame holds bytes that belong to no blob.")


def check_pack(pack: Buffer, hashed: Hash = digest) -> list[Frame]:
    """Decode a plain pack entirely and compare every blob with its id. Raises DamageError."""
    return check_stored(pack, Whole.of(pack), hashed)


def check_stored(stored: Buffer, part: Part, hashed: Hash = digest) -> list[Frame]:
    """Like `check_pack`, for the stored form. One frame at a time is decrypted. Raises DamageError."""
    view, decompressor = memoryview(stored), zstandard.ZstdDecompressor()

    def plain(start: int, length: int) -> Buffer:
        return part.read(start, length, lambda at, size: view[at : at + size])

    frames = _frames(part.plain, plain)
    for frame in frames:
        data = decompress(plain(frame.offset, frame.stored), frame.plain, decompressor)
        for _ in split(data, frame.blobs, hashed):
            pass
    return frames


def compressed_otherwise(pack: Buffer, frames: Sequence[Frame]) -> Iterator[PackBuilder]:
    """A plain pack with other bytes and the same blobs, again and again otherwise: its last frame gets a checksum."""
    view, last = memoryview(pack), frames[-1]
    data = zstandard.ZstdDecompressor().decompress(view[last.offset : last.offset + last.stored])
    for level in OTHER_LEVELS:
        other = PackBuilder()
        for frame in frames[:-1]:
            other.add(view[frame.offset : frame.offset + frame.stored], frame.plain, frame.blobs)
        again = zstandard.ZstdCompressor(level=level, write_checksum=True).compress(data)
        other.add(again, last.plain, last.blobs)
        yield other
