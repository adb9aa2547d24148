#!/usr/bin/env python3
"""Restores from a repository without backup_platform: this one file, and `pip install pyarrow blake3`.

    python rescue.py REPOSITORY list                                which recovery points there are
    python rescue.py REPOSITORY list POINT                          what is in one
    python rescue.py REPOSITORY restore POINT DIRECTORY [PATH ...]  all of it, or these files and directories

REPOSITORY is a directory: copy a bucket to one (`rclone copy`), or mount it (`rclone mount --read-only`). POINT is
SOURCE@WINDOW, SOURCE@latest or the beginning of an id. An encrypted repository needs `pip install cryptography` and
`--key FILE`, once or more: an age identity (AGE-SECRET-KEY-1…) opens everything; a repository key
(BACKUP-PLATFORM-KEY-1…) alone opens the lists, and helps where an object below keys/ is lost. The fingerprint tells
whether it is the right repository: `--fingerprint` of the recovery sheet refuses others.

Nothing in the repository is changed. What is lost is named, the rest restored: a file that is not whole is written as
NAME.damaged, zeros for lost bytes, which lost.json lists. Exit codes: 0 all is well, 3 something is lost or not made, 1
it cannot be done. The § are FORMAT.md's. PostgreSQL comes as files: rescue_tables.py makes what psql loads of them.
"""

from __future__ import annotations

import argparse
import base64
import glob
import hmac
import json
import os
import re
import sqlite3
import struct
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from functools import lru_cache, partial
from itertools import accumulate, islice
from typing import IO, Any

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from blake3 import blake3
except ImportError as missing:
    sys.exit(f"{missing.name} is missing: pip install pyarrow blake3 (if encrypted, cryptography too)")
with suppress(ImportError):
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

SEGMENT, TAG, UNKNOWN = 65536, 16, 1 << 62
LARGEST, LARGEST_FRAME, MOST_ROWS = 1 << 29, 1 << 23, 1 << 23  # §12
ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
SPECIAL = {"fifo": 0o010000, "chardev": 0o020000, "blockdev": 0o060000, "socket": 0o140000}  # of st_mode
FORM = dict.fromkeys(("path", "blobs", "hardlink", "link_target"), "binary")
FORM |= {"kind": "string", "status": "string", "problem": "string", "size": "uint64", "depth": "uint8"}
must = partial(lambda condition, error: need(condition, error, SystemExit))
Spans = list[tuple[int, int]]
TROUBLES: list[str] = []
escaped = partial(re.sub, r"[^ -~\n]|\n(?!\Z)", lambda m: m[0] if m[0].isprintable() else ascii(m[0])[1:-1])


def trouble(text: str) -> None:
    TROUBLES.append(text)
    print("!!", text, file=sys.stderr)


def need(condition: object, error: str, kind: type[BaseException] = ValueError) -> None:
    if not condition:
        raise kind(error)


def decoded_key(prefix: str, line: str) -> bytes:  # the 32 bytes of a key in Bech32 (§9)
    values, residue = [ALPHABET.find(character) for character in line[len(prefix) + 1 :]], 1
    for value in [*(ord(c) >> 5 for c in prefix), 0, *(ord(c) & 31 for c in prefix), *values]:
        top, residue = residue >> 25, (residue & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            residue ^= generator if top >> bit & 1 else 0
    must(residue == 1 and len(values) == 58, f"The key {prefix}1… is mistyped or cut short (checksum).")
    return (sum(value << 5 * i for i, value in enumerate(values[51::-1])) >> 4).to_bytes(32, "big")


def read_keys(paths: Iterable[str]) -> tuple[list[Any], bytes]:  # §9
    must("ChaCha20Poly1305" in globals(), "cryptography is missing: pip install cryptography")
    identities, key = [], b""
    for path in paths:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in (line.strip().lower() for line in file):
                if line.startswith("age-secret-key-1"):
                    identities.append(X25519PrivateKey.from_private_bytes(decoded_key(line[:15], line)))
                elif line.startswith("backup-platform-key-1"):
                    key = decoded_key("backup-platform-key-", line)
    must(identities or key, "The key files have no line AGE-SECRET-KEY-1… or BACKUP-PLATFORM-KEY-1….")
    return identities, key


def manifest(line: bytes) -> dict[str, Any]:  # §7, within the limits of §12
    bare = b"".join(line.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])  # without texts
    depths = accumulate((byte in b"[{") * 2 - 1 for byte in re.sub(rb"[^][{}]", b"", bare))
    small = len(line) < 1 << 26 and sum(map(line.count, b",[{")) <= 2_000_000
    need(small and max(depths, default=0) <= 32 and not re.search(rb"\d{41}", bare), "it exceeds a limit")
    point: dict[str, Any] = json.loads(line)
    again = json.dumps(point, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    window, stats, content = point["window"], point["stats"], point["inventory"]
    limits = [(point["sequence"] - 1, 10**10 - 1), (content["depth"], 9), (content["size"], (64 << 30) + 1)]
    sizes = (stats[name] for name in stats if name != "duration_s")
    limits += [(n, 1 << 63) for n in (point["problem_count"], *sizes)]
    need(all(type(n) is int and 0 <= n < most for n, most in limits), "a number is out of range")
    for time in (point["captured_at"], point["committed_at"], window["start"], window["end"]):
        need((at := datetime.fromisoformat(time)).tzinfo and 1900 <= at.year <= 9998, "a time is not valid")
    need(again.encode() == line and type(point["incomplete"]) is bool, "it is not canonical")
    need(re.fullmatch(r"(?a:\w[\w+-]*(/[\w+-]+){0,3})", point["timezone"]), "its time zone is not valid")
    need({type(text) for text in (point["kind"], window["key"])} == {str}, "a text is missing")
    return point


def hkdf(key: bytes, salt: bytes, info: bytes) -> bytes:  # HKDF-SHA-256 (RFC 5869)
    return hmac.digest(hmac.digest(salt, key, "sha256"), info + b"\x01", "sha256")


def stream_plain(key: bytes, stored: bytes) -> bytes:  # zeros for altered segments: hashes prove what is read
    cipher, plain, size = ChaCha20Poly1305(key), bytearray(), SEGMENT + TAG
    for number, start in enumerate(range(0, len(stored), size)):
        segment = stored[start : start + size]
        nonce = number.to_bytes(11, "big") + bytes([start + size >= len(stored)])
        try:
            plain += cipher.decrypt(nonce, segment, None)
        except InvalidTag:
            plain += bytes(max(0, len(segment) - TAG))
    return bytes(plain)


def stanza_key(header: bytes, identities: list[Any]) -> bytes:  # empty when none is for them
    for found in re.finditer(rb"-> X25519 (\S+)\n(\S+)\n", header):
        for identity in identities:
            with suppress(InvalidTag, ValueError):
                share, own = base64.b64decode(found[1] + b"=="), identity.public_key().public_bytes_raw()
                shared = identity.exchange(X25519PublicKey.from_public_bytes(share))
                key = hkdf(shared, share + own, b"age-encryption.org/v1/X25519")
                return ChaCha20Poly1305(key).decrypt(bytes(12), base64.b64decode(found[2] + b"=="), None)
    return b""


def age_plain(stored: bytes, identities: list[Any], other_key: bytes = b"") -> bytes:
    found = re.match(rb"(age-encryption\.org/v1\n(?:.*\n)*?---) \S{43}\n", stored[: 1 << 16])
    file_key = found and (stanza_key(found[1], identities) or other_key)
    if not found or not file_key:
        raise ValueError("no identity given opens it" if found else "it does not begin as an age file")
    start = found.end() + 16
    return stream_plain(hkdf(file_key, stored[found.end() : start], b"payload"), stored[start:])


class StoredRepository:
    def __init__(self, root: str, key_files: list[str]) -> None:
        self.secret, self.blob_key, self.sealing_key, self.rewrapped = b"", b"", b"", dict[bytes, bytes]()
        self.pack, self.frame = lru_cache(6)(self.read_pack), lru_cache(32)(self.read_frame)
        self.root, self.key_id, encryption = root, "", "age-v1" if key_files else "none"
        try:
            info = json.loads(self.read("repository.json"))
            self.key_id, encryption = info.get("key_id", ""), info["encryption"]
        except Exception as error:
            trouble(f"repository.json is lost: {error}. Going on without it.")
            info = {"format": 1}
        must(info["format"] == 1, "The repository has another format: take its rescue.py.")
        closed = "The repository is encrypted: give --key FILE with an identity (AGE-SECRET-KEY-1…)."
        plain = "The repository says that it is not encrypted: was it exchanged? If not, leave --key out."
        must(bool(key_files) == (encryption != "none"), plain if key_files else closed)
        if encryption != "none":
            self.unlock(*read_keys(key_files))
        told = f"{encryption}\n{info.get('id')}\n{self.key_id}".encode()
        groups = re.findall(".{5}", self.derived("fingerprint", told).hex()[:40])
        self.fingerprint = "-".join(groups) if "id" in info else "unknown"  # §2

    def keys(self, prefix: str) -> list[str]:
        found = glob.glob(prefix + "**/*", root_dir=self.root, recursive=True)
        return sorted(key for key in found if "#" not in key and os.path.isfile(os.path.join(self.root, key)))

    def read(self, key: str) -> bytes:
        with open(os.path.join(self.root, key), "rb") as file:
            return file.read(LARGEST)  # the rest of what is larger is no part of format 1

    def derived(self, purpose: str, material: bytes) -> bytes:
        return blake3(material, derive_key_context=f"backup_platform 1 {purpose}").digest()

    def hash(self, data: bytes) -> bytes:  # §3, the keyed hash: of blobs and signed lines
        return (blake3(data, key=self.blob_key) if self.blob_key else blake3(data)).digest()

    def unlock(self, identities: list[Any], key: bytes) -> None:  # §9
        self.identities = identities
        wrapped = (name for name in self.keys("keys/") if not key and re.fullmatch("keys/[0-9a-f]{64}", name))
        keys = [key, *map(self.age_file, wrapped)]
        fits = {self.derived("key id", each).hex(): each for each in keys if each}
        must(fits, "No key given opens the repository: give an identity or the repository key.")
        self.key_id = self.key_id or next(iter(fits))
        key = fits.get(self.key_id, b"")
        must(key, "The repository key is that of another repository, or altered.")
        self.secret, self.blob_key = key, self.derived("blob id", key)
        self.sealing_key = self.derived("metadata", key)
        for found in map(self.age_file, self.keys("keys/rewrap/")):
            self.rewrapped |= {found[i : i + 32]: found[i + 32 : i + 48] for i in range(0, len(found), 48)}

    def age_file(self, key: str) -> bytes:  # empty when it is for somebody else, or altered
        with suppress(Exception):
            return age_plain(self.read(key), self.identities)
        return b""

    def plain(self, key: str, stored: bytes) -> bytes:  # what an object holds, decrypted
        if not self.blob_key:
            return stored
        if key.startswith("packs/"):
            return age_plain(stored, self.identities, self.rewrapped.get(bytes.fromhex(key[-64:]), b""))
        return stream_plain(self.derived("sealed", self.sealing_key + stored[8:40]), stored[40:])

    def manifests(self) -> list[dict[str, Any]]:  # §7; by source and in the order of their numbers
        found = []
        for key in self.keys("manifests/"):
            try:
                line, _, identity = self.plain(key, self.read(key)).partition(b"\n")
                need(self.hash(line).hex().encode() + b"\n" == identity, "its hash does not match")
                point = manifest(line)
                source, point["id"] = point["source"], identity.decode().strip()
                place = f"{self.hash(source.encode()).hex()[:32]}/{point['sequence']:010}"
                need(key[10:] == place, "it belongs elsewhere, somebody moved or copied it")
                doubt = "suspect" in point and not self.records(point, "accepted")
                found.append({**point, "name": f"{source}@{point['window']['key']}", "suspect": doubt})
            except Exception as error:  # who may write to the store may write anything
                trouble(f"{key} is lost: {error}.")
        return sorted(found, key=lambda point: (point["source"], point["sequence"]))

    def records(self, point: dict[str, Any], kind: str) -> list[str]:  # §8: what a holder of the key recorded
        own = partial(blake3, key=self.derived("ledger names", self.secret + point["repository"].encode()))
        names = (name.rpartition("-") for name in self.keys(f"ledger/{kind}/{point['id']}/"))
        return [n[0] for n in names if not self.secret or n[2] == own(n[0].encode()).hexdigest(16)]

    def read_index(self) -> None:
        """Where blobs are, into a temporary file: from the indexes (§5), and the packs that none names (§4)."""
        self.places = sqlite3.connect("", isolation_level=None)
        self.places.execute("CREATE TABLE place (blob, pack, frame, stored, plain, at, length)")
        self.places.execute("BEGIN")
        for key in self.keys("indexes/"):
            self.note(self.index_rows, key, "is lost, and its packs are read instead")
        self.stored = {*self.keys("packs/"), *self.keys("meta/")}
        indexed = {pack for (pack,) in self.places.execute("SELECT DISTINCT pack FROM place")}
        for key in sorted(self.stored - indexed):
            self.note(self.table_rows, key, "has no table of its blobs")
        self.places.execute("CREATE INDEX by_blob ON place (blob)")

    def note(self, rows: Callable[[str], Iterator[tuple[Any, ...]]], key: str, problem: str) -> None:
        try:
            self.places.executemany("INSERT INTO place VALUES (?, ?, ?, ?, ?, ?, ?)", rows(key))
        except Exception as error:
            trouble(f"{key} {problem}: {error}.")

    def index_rows(self, key: str) -> Iterator[tuple[Any, ...]]:
        need(blake3(stored := self.read(key)).hexdigest() == key[-64:], "its hash is not its name")
        file = pq.ParquetFile(pa.BufferReader(self.plain(key, stored)), pre_buffer=False)
        need(file.metadata.num_rows <= MOST_ROWS, "it has too many rows")
        names = ("blob", "pack", "meta", "frame", "frame_stored", "frame_plain", "offset", "length")
        columns = (file.read([name], use_threads=False)[0].to_pylist() for name in names)
        for blob, pack, meta, *place in zip(*columns, strict=True):
            yield blob, f"{'meta' if meta else 'packs'}/{pack.hex()[:2]}/{pack.hex()}", *place

    def table_rows(self, key: str) -> Iterator[tuple[Any, ...]]:  # §4
        length, magic = struct.unpack("<I4s", (pack := self.pack(key))[-8:])
        need(magic == b"BPT1" and length <= len(pack), "it is cut short or altered")
        table = pack[-length:]
        frames = struct.unpack("<8sII", table[:16])[1]
        blobs, start = struct.iter_unpack("<32sI", table[16 + 12 * frames : -8]), 0
        for stored, plain, count in struct.iter_unpack("<III", table[16 : 16 + 12 * frames]):
            at = 0
            for blob, size in islice(blobs, count):
                yield blob, key, start, stored, plain, at, size
                at += size
            start += stored

    def read_pack(self, key: str) -> bytes:  # decrypted; of a damaged one what is whole
        try:
            if blake3(stored := self.read(key)).hexdigest() != key[-64:]:
                trouble(f"{key} is damaged: its hash is not its name.")
            return self.plain(key, stored)
        except Exception as error:
            trouble(f"{key} is lost: {error}.")
            return b""

    def read_frame(self, pack: str, start: int, stored: int, plain: int) -> bytes:
        with suppress(Exception):  # its blobs will not have their hashes
            if plain <= LARGEST_FRAME:
                part = self.pack(pack)[start : start + stored]
                return bytes(pa.decompress(part, plain, "zstd", asbytes=True))
        return b""

    def blob(self, name: bytes) -> tuple[int, bytes | None]:  # its length, if told, and its bytes
        query, length = "SELECT pack, frame, stored, plain, at, length FROM place WHERE blob = ?", UNKNOWN
        places = self.places.execute(query, (name,)).fetchall()
        places.sort(key=lambda row: row[0] not in self.stored)  # prune may have deleted it
        for pack, start, stored, plain, at, length in places:
            data = self.frame(pack, start, stored, plain)[at : at + length]
            if data and self.hash(data) == name:
                return length, data
        return length, None

    def stream(self, blobs: bytes, depth: int) -> Iterator[tuple[int, bytes | None]]:  # §3
        for i in range(0, len(blobs), 32):
            length, data = self.blob(blobs[i : i + 32])
            if depth and data is not None:
                yield from self.stream(data, depth - 1)
            else:
                yield (UNKNOWN if depth else length), data

    def copy(self, row: dict[str, Any], file: IO[bytes]) -> Spans:
        """Write a stream into an empty file, around its holes; what is lost, as (start, end) in the file."""
        size, extents, lost = row["size"], row.get("extents"), []
        spans = iter([(0, size)] if extents is None else [(e["offset"], e["length"]) for e in extents])
        at, room = next(spans, (size, 0))
        for length, data in self.stream(row["blobs"], row["depth"]):
            while length and room:
                part = min(room, length)
                if data is None:
                    lost.append((at, at + part))
                else:
                    file.seek(at)
                    file.write(data[:part])
                    data = data[part:]
                at, room, length = at + part, room - part, length - part
                at, room = (at, room) if room else next(spans, (size, 0))
            if not room:
                break
        file.truncate(size)
        return lost + [(start, start + left) for start, left in [(at, room), *spans] if left]

    def entries(self, point: dict[str, Any]) -> Iterator[dict[str, Any]]:  # §6: the rows of the inventory
        inventory, what = point["inventory"], f"the inventory of {point['name']}"
        try:
            with tempfile.TemporaryFile() as file:
                lost = self.copy({**inventory, "blobs": bytes.fromhex(inventory["blobs"])}, file)
                for batch in sound_batches(file, lost, what):
                    nulls = {name for name in FORM if "link" not in name and batch[name].null_count}
                    typed = all(str(batch[name].type) == kind for name, kind in FORM.items())
                    need(typed and not nulls, "it has another form")
                    yield from batch.to_pylist()
        except Exception as error:
            trouble(f"{what}, or the rest of it, is lost: {error}.")


def sound_batches(file: Any, lost: Spans, what: str) -> Iterator[Any]:  # of row groups that are whole
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - 8))
    footer = end - 8 - int.from_bytes(file.read(4), "little")
    need(all(stop <= footer for _, stop in lost), "its footer is")
    parquet = pq.ParquetFile(file, pre_buffer=False)
    for number in range(parquet.num_row_groups):
        group = parquet.metadata.row_group(number)
        columns = [group.column(n) for n in range(group.num_columns)]
        begin = min(c.dictionary_page_offset or c.data_page_offset for c in columns)
        end = begin + sum(c.total_compressed_size for c in columns)
        if any(start < end and stop > begin for start, stop in lost):
            trouble(f"{what}: {group.num_rows:,} of {parquet.metadata.num_rows:,} rows are lost.")
        else:
            yield from parquet.iter_batches(1024, row_groups=[number], use_threads=False)


def find(points: list[dict[str, Any]], spec: str) -> dict[str, Any]:  # the newest of the best
    start = spec.removesuffix("latest")
    found = [p for p in points if (p["name"] if "@" in spec else p["id"]).startswith(start)]
    names = sorted({p["name"] for p in found})
    if not found or not start or spec.endswith("@") or (len(names) > 1 and start == spec):
        sys.exit(f"{spec} names {len(names)} recovery points, see `list`. {' '.join(names[:9])}")
    return max(found, key=lambda p: (not p["suspect"], not p["incomplete"], p["sequence"]))


class Restore:  # into an empty directory; links come last: none is ever followed
    def __init__(self, repository: StoredRepository, target: str, paths: Iterable[str]) -> None:
        self.repository, self.root = repository, os.path.realpath(os.fsencode(target))
        self.wanted = [os.fsencode(path).strip(b"/") for path in paths]
        self.lost, self.missing, self.refused, self.failed = dict[str, Spans](), set(self.wanted), 0, 0
        os.makedirs(self.root, exist_ok=True)
        must(not os.listdir(self.root), f"{target} is not empty.")

    def run(self, point: dict[str, Any]) -> None:
        others, folders, count = [], [], 0
        for row in self.repository.entries(point):
            hits = {want for want in self.wanted if (row["path"] + b"/").startswith(want + b"/")}
            self.missing -= hits
            if self.wanted and not hits:
                continue
            count += 1
            if row["status"] != "ok":
                trouble(f"{os.fsdecode(row['path'])}: {row['status']} when captured ({row['problem']}).")
            if row["kind"] == "dir":
                folders.append(row)
                self.attempt(lambda row, path: os.makedirs(path, exist_ok=True), row)
            elif row["kind"] != "file" or row["hardlink"] is not None:
                others.append(row)
            elif row["status"] in ("ok", "changed"):
                self.attempt(self.make_file, row)
        for path in sorted(self.missing):
            trouble(f"{os.fsdecode(path)} was not found in {point['name']}.")
        for row in sorted(others, key=lambda row: row["hardlink"] is not None):
            self.attempt(self.make_other, row)
        for row in reversed(folders):
            self.attempt(self.finish, row)
        if self.lost:
            with open(os.path.join(self.root, b"lost.json"), "x", encoding="utf-8") as file:
                json.dump(self.lost, file, indent=1)
        if self.refused:
            print(f"{self.refused:,} owners or attributes could not be set: are you root?", file=sys.stderr)
        print(f"{count:,} entries of {point['name']}: {len(self.lost):,} damaged, {self.failed:,} not made")

    def inside(self, name: bytes) -> bytes:  # only in directories that are below the root
        path = os.path.join(self.root, name)
        folder, last = os.path.split(path)
        within = path.startswith(self.root + b"/") and os.path.realpath(folder) == folder
        need(within and last != b"..", "the path leads outside")
        return path

    def attempt(self, make: Callable[[dict[str, Any], bytes], None], row: dict[str, Any]) -> None:
        """What cannot be made is counted, and stops nothing else: the inventory may be a hostile one."""
        try:
            path = self.inside(row["path"])
            os.makedirs(os.path.dirname(path), exist_ok=True)
            make(row, path)
        except Exception as error:
            must(getattr(error, "errno", 0) != 28, "The disk is full.")
            self.failed += 1
            name, of = os.fsdecode(row["path"]), os.fsdecode(row["hardlink"] or row["link_target"] or b"")
            trouble(f"{name}: {row['kind']} {of} cannot be made: {error}.")

    def make_file(self, row: dict[str, Any], path: bytes) -> None:
        with open(path, "xb") as file:
            lost = self.repository.copy(row, file)
        if lost:
            self.lost[os.fsdecode(row["path"])] = lost
            count, name = sum(stop - start for start, stop in lost), os.fsdecode(row["path"])
            trouble(f"{name}.damaged: {count:,} of {row['size']:,} bytes are lost.")
            os.rename(path, path := path + b".damaged")
        self.finish(row, path)

    def make_other(self, row: dict[str, Any], path: bytes) -> None:
        if row["hardlink"] is not None:
            os.link(self.inside(row["hardlink"]), path, follow_symlinks=False)
        elif row["kind"] == "symlink":
            os.symlink(row["link_target"], path)
            self.finish(row, path)
        else:
            os.mknod(path, SPECIAL[row["kind"]] | 0o600, row["rdev"])
            self.finish(row, path)

    def finish(self, row: dict[str, Any], path: bytes) -> None:
        steps = [partial(os.chown, path, row["uid"], row["gid"])]
        steps += [partial(os.setxattr, path, each["name"], each["value"]) for each in row["xattrs"]]
        for step in steps:
            try:
                step(follow_symlinks=False)
            except OSError:
                self.refused += 1
        if row["kind"] != "symlink":
            os.chmod(path, row["mode"])
        mtime = row["mtime_ns"] if "mtime_ns" in row else row["mtime_s"] * 10**9 + row["mtime_n"]
        os.utime(path, ns=(mtime, mtime), follow_symlinks=False)


def show_points(repository: StoredRepository) -> None:
    for p in repository.manifests():
        proof = " ".join((repository.records(p, "proofs") or ["-no-proof"])[-1].split("-")[1:3])
        state = f"{p['kind']}, {proof}{', incomplete' * p['incomplete']}{', suspect' * p['suspect']}"
        print(f"{p['id'][:12]}  {p['name']:<36}  {p['captured_at'][:19]}  {state}")


def main() -> int:
    parser = argparse.ArgumentParser(usage=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("--key", action="append", default=[])
    parser.add_argument("--fingerprint")
    parser.add_argument("repository")
    parser.add_argument("verb", choices=["list", "restore"])
    parser.add_argument("rest", nargs="*")
    options = parser.parse_args()
    if options.verb == "restore" and len(options.rest) < 2:
        parser.error("restore needs POINT and DIRECTORY")
    os.umask(0o077)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        stream.write = lambda text, write=stream.write: write(escaped(text))  # type: ignore[method-assign]
    repository = StoredRepository(options.repository, options.key)
    print("fingerprint", repository.fingerprint, file=sys.stderr)
    if options.fingerprint and options.fingerprint.lower() != repository.fingerprint:
        sys.exit(f"It is not the repository of --fingerprint {options.fingerprint}.")
    if not options.rest:
        show_points(repository)
    else:
        point = find(repository.manifests(), options.rest[0])
        repository.read_index()
        if options.verb == "restore":
            Restore(repository, options.rest[1], options.rest[2:]).run(point)
        for row in repository.entries(point) if options.verb == "list" else ():
            status = "" if row["status"] == "ok" else f"  ({row['status']})"
            print(f"{row['kind']:<9}{row['size']:>16,}  {os.fsdecode(row['path'])}{status}")
    return 3 if TROUBLES else 0


if __name__ == "__main__":
    sys.exit(main())
