"""Reads a repository of format 1 as FORMAT.md says, with nothing of this project: standard library, blake3, zstandard,
pyarrow, and cryptography for an encrypted one. `python -I reader.py REPOSITORY [IDENTITY FILE]` prints what it holds as
JSON, and fails on anything that is not as it says.
"""

from __future__ import annotations

import base64
import hmac
import io
import json
import re
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import zstandard
from blake3 import blake3


def digest(data: bytes) -> str:
    return str(blake3(data).hexdigest())


class Plain:
    """How an unencrypted repository is read."""

    def keyed(self, data: bytes) -> str:
        return digest(data)

    def plain(self, path: Path) -> bytes:
        return path.read_bytes()


class Encrypted(Plain):
    """How an encrypted one is read, with the identity of one recipient."""

    def __init__(self, root: Path, info: dict[str, Any], identity_file: Path) -> None:
        self.root, self.secret = root, age_identity(identity_file.read_text())
        recipient = bech32("age", self.secret.public_key().public_bytes_raw())
        header, stream = age_header((root / "keys" / digest(recipient.encode())).read_bytes())
        key = age_payload(header, stream, age_file_key(header, self.secret))
        assert derived("key id", key).hex() == info["key_id"]
        self.blob_key, self.metadata_key = derived("blob id", key), derived("metadata", key)
        self.rewrapped = dict(self._rewrapped())
        self.recipients = [
            json.loads(self._sealed(p).split(b"\n")[0]) for p in (root / "keys").glob("*.recipient")
        ]

    def keyed(self, data: bytes) -> str:
        return str(blake3(data, key=self.blob_key).hexdigest())

    def plain(self, path: Path) -> bytes:
        if path.relative_to(self.root).parts[0] != "packs":
            return self._sealed(path)
        header, stream = age_header(path.read_bytes())
        file_key = age_file_key(header, self.secret) or self.rewrapped[path.name]
        return age_payload(header, stream, file_key)

    def _sealed(self, path: Path) -> bytes:
        data = path.read_bytes()
        assert data[:8] == b"BPSEAL\x00\x01"
        return stream_plain(derived("sealed", self.metadata_key + data[8:40]), data[40:])

    def _rewrapped(self) -> Iterator[tuple[str, bytes]]:
        for path in (self.root / "keys" / "rewrap").iterdir():
            header, stream = age_header(named_by_hash(path))
            entries = age_payload(header, stream, age_file_key(header, self.secret))
            yield from ((e.hex(), k) for e, k in struct.iter_unpack("32s16s", entries))


def derived(purpose: str, material: bytes) -> bytes:
    return blake3(material, derive_key_context=f"backup_platform 1 {purpose}").digest()


def bech32_checksum(values: list[int]) -> int:
    residue = 1
    for value in values:
        top, residue = residue >> 25, (residue & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            residue ^= generator if top >> bit & 1 else 0
    return residue


def bech32(prefix: str, data: bytes) -> str:
    number = int.from_bytes(data, "big") << -len(data) * 8 % 5
    values = [number >> 5 * i & 31 for i in reversed(range(-(-len(data) * 8 // 5)))]
    expanded = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]
    end = bech32_checksum([*expanded, *values, *[0] * 6]) ^ 1
    return (
        prefix
        + "1"
        + "".join(ALPHABET[v] for v in [*values, *(end >> 5 * i & 31 for i in reversed(range(6)))])
    )


def age_identity(text: str) -> Any:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    (line,) = (line for line in text.splitlines() if line.startswith("AGE-SECRET-KEY-1"))
    number = 0
    for character in line.lower().removeprefix("age-secret-key-1")[:-6]:
        number = number << 5 | ALPHABET.index(character)
    secret = (number >> 4).to_bytes(32, "big")  # 52 characters are 260 bits
    assert bech32("age-secret-key-", secret) == line.lower()
    return X25519PrivateKey.from_private_bytes(secret)


def hkdf(key: bytes, salt: bytes, info: bytes) -> bytes:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(hashes.SHA256(), 32, salt, info).derive(key)


def unpadded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4))


def age_header(data: bytes) -> tuple[bytes, bytes]:
    """The header up to its HMAC, and what follows: the nonce and the STREAM."""
    end = data.index(b"\n", data.index(b"\n--- ") + 1) + 1
    return data[:end], data[end:]


def age_file_key(header: bytes, secret: Any) -> bytes:
    """Empty when no stanza is for this identity."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    own = secret.public_key().public_bytes_raw()
    for stanza in re.finditer(r"-> X25519 (\S+)\n(\S+)\n", header.decode()):
        share, body = unpadded(stanza[1]), unpadded(stanza[2])
        shared = secret.exchange(X25519PublicKey.from_public_bytes(share))
        key = hkdf(shared, share + own, b"age-encryption.org/v1/X25519")
        try:
            return ChaCha20Poly1305(key).decrypt(bytes(12), body, None)
        except InvalidTag:
            continue
    return b""


def age_payload(header: bytes, stream: bytes, file_key: bytes) -> bytes:
    signed, _, mac = header.rpartition(b" ")
    expected = hmac.digest(hkdf(file_key, b"", b"header"), signed, "sha256")
    assert unpadded(mac.decode().strip()) == expected, "the header is altered"
    return stream_plain(hkdf(file_key, stream[:16], b"payload"), stream[16:])


def stream_plain(key: bytes, stream: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    segments = [stream[i : i + 65552] for i in range(0, len(stream), 65552)]
    plain = [
        ChaCha20Poly1305(key).decrypt(i.to_bytes(11, "big") + bytes([i == len(segments) - 1]), segment, None)
        for i, segment in enumerate(segments)
    ]
    assert len(plain) == 1 or plain[-1], "an empty segment ends nothing"
    return b"".join(plain)


def canonical(document: Any) -> bytes:
    return json.dumps(
        document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def named_by_hash(path: Path) -> bytes:
    data = path.read_bytes()
    assert digest(data) == path.name, f"{path} is not what its name says"
    return data


ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
VAULT = [Plain()]  # of the repository that is read


def named_plain(path: Path) -> bytes:
    named_by_hash(path)
    return VAULT[0].plain(path)


def keyed(data: bytes) -> str:
    return VAULT[0].keyed(data)


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
        pack = named_plain(path)
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
                assert bytes.fromhex(keyed(blob)) == identity
                blobs[identity], places[path.name, start, offset] = blob, blob
                offset += length
            assert offset == plain
        assert printed == joined, "zstd -d prints the blobs joined"
    return blobs, places


def parquet_file(data: bytes) -> pq.ParquetFile:
    """Arrow's threads may still hold `data` when this program ends, and abort it (apache/arrow #34314). So nothing
    is read by them, here and in `parquet_rows`."""
    return pq.ParquetFile(io.BytesIO(data), pre_buffer=False)


def parquet_rows(file: pq.ParquetFile) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = file.read(use_threads=False).to_pylist()
    return rows


def check_indexes(root: Path, places: dict[bool, dict[tuple[str, int, int], bytes]]) -> set[str]:
    """Packs that the indexes name; every row leads to the blob of its id."""
    named = set()
    for path in (root / "indexes").iterdir():
        for row in parquet_rows(parquet_file(named_plain(path))):
            blob = places[row["meta"]][row["pack"].hex(), row["frame"], row["offset"]]
            assert len(blob) == row["length"]
            assert bytes.fromhex(keyed(blob)) == row["blob"]
            named.add(row["pack"].hex())
    return named


def stream(blobs: bytes, depth: int, contents: dict[bytes, bytes], meta: dict[bytes, bytes]) -> bytes:
    for _ in range(depth):
        blobs = b"".join(meta[blobs[i : i + 32]] for i in range(0, len(blobs), 32))
    return b"".join(contents[blobs[i : i + 32]] for i in range(0, len(blobs), 32))


def signed(path: Path) -> tuple[str, Any]:
    line, identity, rest = VAULT[0].plain(path).split(b"\n")
    assert rest == b""
    assert keyed(line) == identity.decode()
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


def with_times(row: dict[str, Any], version: bytes) -> dict[str, Any]:
    if version == b"1":
        return row
    assert version == b"2"
    assert "mtime_ns" not in row
    assert "ctime_ns" not in row
    for name in ("mtime", "ctime"):
        row[f"{name}_ns"] = row.pop(f"{name}_s") * 10**9 + row.pop(f"{name}_n")
    return row


def read_point(
    document: dict[str, Any], contents: dict[bytes, bytes], meta: dict[bytes, bytes]
) -> dict[str, Any]:
    ref = document["inventory"]
    parquet = stream(bytes.fromhex(ref["blobs"]), ref["depth"], meta, meta)
    assert len(parquet) == ref["size"]
    file = parquet_file(parquet)
    version = file.metadata.metadata[b"backup_platform.inventory"]
    rows = [read_row(with_times(row, version), contents, meta) for row in parquet_rows(file)]
    order = [b"" if row["path"] == "2e" else bytes.fromhex(row["path"]).replace(b"/", b"\0") for row in rows]
    assert order == sorted(order)
    return {"sequence": document["sequence"], "incomplete": document["incomplete"], "rows": rows}


def read_chain(root: Path, repository: str) -> list[tuple[str, dict[str, Any]]]:
    chain: list[tuple[str, dict[str, Any]]] = []
    for path in sorted((root / "manifests").glob("*/*")):
        identity, document = signed(path)
        assert document["format"] == 1
        assert document["repository"] == repository
        assert path.parent.name == keyed(document["source"].encode())[:32]
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


def read(root: Path, identity: Path | None) -> dict[str, Any]:
    info = json.loads((root / "repository.json").read_bytes())
    assert canonical(info) == (root / "repository.json").read_bytes()
    assert (info["format"], info["encryption"]) == (1, "age-v1" if identity else "none")
    VAULT[0] = Encrypted(root, info, identity) if identity else Plain()
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
    json.dump(read(Path(sys.argv[1]), Path(sys.argv[2]) if sys.argv[2:] else None), sys.stdout)
    assert not [name for name in sys.modules if name.split(".")[0].startswith("backup_platform")]
