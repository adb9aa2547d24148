"""Reads a repository of format 1 as FORMAT.md says, with nothing of this project: standard library, blake3, zstandard,
pyarrow. `python -I reader.py REPOSITORY` prints what it holds as JSON, and fails on anything that is not as it says.
"""

from __future__ import annotations

import io
import json
import struct
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import zstandard
from blake3 import blake3


def digest(data: bytes) -> str:
    return str(blake3(data).hexdigest())


def canonical(document: Any) -> bytes:
    return json.dumps(
        document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def named_by_hash(path: Path) -> bytes:
    data = path.read_bytes()
    assert digest(data) == path.name, f"{path} is not what its name says"
    return data


def pack_frames(pack: bytes) -> list[tuple[int, int, int, list[tuple[bytes, int]]]]:
    """Offset, stored length, plain length and (id, length) of the blobs, of each frame."""
    length, magic = struct.unpack("<I4s", pack[-8:])
    assert magic == b"BPT1"
    table = pack[-length:]
    assert struct.unpack("<II", pack[-length - 8 : -length]) == (0x184D2A5B, length)
    magic, frame_count, blob_count = struct.unpack("<8sII", table[:16])
    assert magic == b"BPTOC\x00\x00\x01"
    assert len(table) == 16 + 12 * frame_count + 36 * blob_count + 8
    blobs = iter(struct.iter_unpack("<32sI", table[16 + 12 * frame_count : -8]))
    frames, offset = [], 0
    for stored, plain, count in struct.iter_unpack("<III", table[16 : 16 + 12 * frame_count]):
        frames.append((offset, stored, plain, [next(blobs) for _ in range(count)]))
        offset += stored
    assert next(blobs, None) is None
    assert offset + 8 + length == len(pack)
    return frames


def read_packs(root: Path, kind: str) -> tuple[dict[bytes, bytes], dict[tuple[str, int, int], bytes]]:
    """Blobs by id; and by pack, frame and offset."""
    blobs, places = {}, {}
    for path in sorted((root / kind).glob("*/*")):
        pack = named_by_hash(path)
        assert path.parent.name == path.name[:2]
        printed = zstandard.ZstdDecompressor().decompressobj(read_across_frames=True).decompress(pack)
        joined = b""
        for start, stored, plain, held in pack_frames(pack):
            data = zstandard.decompress(pack[start : start + stored])
            assert len(data) == plain
            joined += data
            offset = 0
            for identity, length in held:
                blob = data[offset : offset + length]
                assert bytes.fromhex(digest(blob)) == identity
                blobs[identity], places[path.name, start, offset] = blob, blob
                offset += length
            assert offset == plain
        assert printed == joined, "zstd -d prints the blobs joined"
    return blobs, places


def check_indexes(root: Path, places: dict[bool, dict[tuple[str, int, int], bytes]]) -> set[str]:
    """Packs that the indexes name; every row leads to the blob of its id."""
    named = set()
    for path in (root / "indexes").iterdir():
        for row in pq.read_table(io.BytesIO(named_by_hash(path))).to_pylist():
            blob = places[row["meta"]][row["pack"].hex(), row["frame"], row["offset"]]
            assert len(blob) == row["length"]
            assert bytes.fromhex(digest(blob)) == row["blob"]
            named.add(row["pack"].hex())
    return named


def stream(blobs: bytes, depth: int, contents: dict[bytes, bytes], meta: dict[bytes, bytes]) -> bytes:
    for _ in range(depth):
        blobs = b"".join(meta[blobs[i : i + 32]] for i in range(0, len(blobs), 32))
    return b"".join(contents[blobs[i : i + 32]] for i in range(0, len(blobs), 32))


def signed(path: Path) -> tuple[str, Any]:
    line, identity, rest = path.read_bytes().split(b"\n")
    assert rest == b""
    assert digest(line) == identity.decode()
    document = json.loads(line)
    assert canonical(document) == line
    return identity.decode(), document


def read_row(row: dict[str, Any], contents: dict[bytes, bytes], meta: dict[bytes, bytes]) -> dict[str, Any]:
    content = stream(row.pop("blobs"), row.pop("depth"), contents, meta)
    for name in ("path", "link_target", "hardlink"):
        row[name] = row[name].hex() if row[name] is not None else None
    row["xattrs"] = [[x["name"].hex(), x["value"].hex()] for x in row["xattrs"]]
    row["extents"] = (
        [[x["offset"], x["length"]] for x in row["extents"]] if row["extents"] is not None else None
    )
    length = row["size"] if row["extents"] is None else sum(length for _, length in row["extents"])
    if row["kind"] == "file" and row["status"] in ("ok", "changed") and row["hardlink"] is None:
        assert len(content) == length
    return {**row, "content": digest(content)}


def read_point(
    document: dict[str, Any], contents: dict[bytes, bytes], meta: dict[bytes, bytes]
) -> dict[str, Any]:
    ref = document["inventory"]
    parquet = stream(bytes.fromhex(ref["blobs"]), ref["depth"], meta, meta)
    assert len(parquet) == ref["size"]
    file = pq.ParquetFile(io.BytesIO(parquet))
    assert file.metadata.metadata[b"backup_platform.inventory"] == b"1"
    rows = [read_row(row, contents, meta) for row in file.read().to_pylist()]
    order = [b"" if row["path"] == "2e" else bytes.fromhex(row["path"]).replace(b"/", b"\0") for row in rows]
    assert order == sorted(order)
    return {"sequence": document["sequence"], "incomplete": document["incomplete"], "rows": rows}


def read_chain(root: Path, repository: str) -> list[tuple[str, dict[str, Any]]]:
    chain: list[tuple[str, dict[str, Any]]] = []
    for path in sorted((root / "manifests").glob("*/*")):
        identity, document = signed(path)
        assert document["format"] == 1
        assert document["repository"] == repository
        assert path.parent.name == digest(document["source"].encode())[:32]
        assert path.name == f"{document['sequence']:010d}"
        assert document["predecessor"] == (chain[-1][0] if chain else "")
        chain.append((identity, document))
    return chain


def check_ledger(root: Path, points: list[str], packs: set[str]) -> int:
    count = 0
    for path in (root / "ledger" / "proofs").glob("*/*"):
        _, proof = signed(path)
        _, method, verdict, _ = path.name.split("-")
        assert proof["point"] == path.parent.name in points
        assert (proof["method"], proof["passed"]) == (method, verdict == "passed")
        count += 1
    for path in (root / "ledger" / "damaged").glob("*/*"):
        _, mark = signed(path)
        assert mark["pack"] == f"{path.parent.name}/{path.name[:2]}/{path.name}"
        assert path.name in packs
        count += 1
    return count


def read(root: Path) -> dict[str, Any]:
    info = json.loads((root / "repository.json").read_bytes())
    assert canonical(info) == (root / "repository.json").read_bytes()
    assert (info["format"], info["encryption"]) == (1, "none")
    contents, content_places = read_packs(root, "packs")
    meta, meta_places = read_packs(root, "meta")
    packs = {path.name for kind in ("packs", "meta") for path in (root / kind).glob("*/*")}
    assert check_indexes(root, {False: content_places, True: meta_places}) == packs
    chain = read_chain(root, info["id"])
    ids = [identity for identity, _ in chain]
    return {
        "ids": ids,
        "points": [read_point(document, contents, meta) for _, document in chain],
        "ledger": check_ledger(root, ids, packs),
    }


if __name__ == "__main__":
    json.dump(read(Path(sys.argv[1])), sys.stdout)
    assert not [name for name in sys.modules if name.split(".")[0].startswith("backup_platform")]
