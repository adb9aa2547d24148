"""Every decoder of what a store holds, fed with altered genuine bytes: it decodes them, or says that they are damaged.

What is signed is signed again after it was altered, so that the decoder behind the hash is reached: in an unencrypted
repository anybody can do that. `make soak` feeds 66,000 inputs, `make test` some hundred.
"""

from __future__ import annotations

import io
import json
import resource
from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from backup_platform.actions.keys.run import cipher_of
from backup_platform.domain.model import Proof, ProofMethod
from backup_platform.errors import DamageError, RepositoryError
from backup_platform.repository.encryption import age, bech32
from backup_platform.repository.encryption.recipients import listed_keys, read_document, readable_recipients
from backup_platform.repository.encryption.rewrapped import RewrappedKeys
from backup_platform.repository.encryption.sealing import Secrets, seal, unseal
from backup_platform.repository.objects.canonical import canonical
from backup_platform.repository.objects.info import read_info
from backup_platform.repository.objects.names import TOMBSTONES, ManifestKey, ObjectId, digest, recipient_name
from backup_platform.repository.packs.index_objects import decode_index
from backup_platform.repository.packs.packs import check_pack, decode_table, frames_of, table_length
from backup_platform.repository.points.inventory import InventoryWriter, entries_of, read_rows, rows_of
from backup_platform.repository.points.manifests import decode_manifest
from backup_platform.repository.records.acceptances import accept_point, read_acceptance
from backup_platform.repository.records.forgotten import _read as read_forgotten_point
from backup_platform.repository.records.forgotten import forgotten_places, record_forgotten
from backup_platform.repository.records.holds import hold_key, place_hold, read_holds
from backup_platform.repository.records.locks import LockRecord, newest_locks, write_locks
from backup_platform.repository.records.proofs import (
    decode_subject,
    encode_proof,
    parse_proof_key,
)
from backup_platform.repository.records.reads import Reads, decode_reads, encode_reads
from backup_platform.repository.records.tombstones import _packs as decode_tombstone
from backup_platform_tests.repository.test_inventory import an_entry, dated
from backup_platform_tests.support import IDENTITIES, REPOSITORY_KEY, Bench, noise, recipient, text

NOW = datetime(2026, 11, 22, 3, tzinfo=UTC)
MOST_MEMORY_KIB = 600 << 10
EXTREMES: tuple[Any, ...] = (
    None, True, -1, 0, 2**31, 2**63, 10**39, 1e308, -0.5, "", "x" * 5_000, "\x00\x1b[2J", "../..", [], {}, [[]],
    {"a": {}},
    "9999-12-31T23:59:59+00:00", "2026-11-22T02:15:00", "0001-01-01T00:00:00+14:00",
)  # fmt: skip
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 1 << 62)
Decode = Callable[[bytes], object]
MUTATIONS = st.lists(
    st.tuples(st.integers(0, 6), st.floats(0, 1, exclude_max=True), st.integers(0, 1 << 16)),
    min_size=1,
    max_size=4,
)


def altered(data: bytes, mutations: list[tuple[int, float, int]]) -> bytes:
    """Bits flipped, parts cut out, doubled, swapped and overwritten, numbers set to the ends of their range."""
    for kind, where, value in mutations:
        at, length = int(where * len(data)), 1 + value % 64
        part = data[at : at + length]
        if kind == 0 and part:
            data = data[:at] + bytes([part[0] ^ 1 << value % 8]) + data[at + 1 :]
        elif kind == 1:
            data = data[:at] if value % 4 == 0 else data[:at] + data[at + length :]
        elif kind == 2:
            data = data[: at + length] + part * (1 + value % 9) + data[at + length :]
        elif kind == 3:
            other = value % max(1, len(data))
            data = data[:at] + data[other : other + length] + data[at + length :]
        elif kind == 4:
            number = NUMBERS[value % len(NUMBERS)].to_bytes(8, "little")[: (1, 2, 4, 8)[value // 9 % 4]]
            data = data[:at] + number + data[at + len(number) :]
        elif kind == 5:
            data = data[:at] + noise(length, value)
        else:
            data = data[:at] + bytes([value % 256]) * length + data[at:]
    return data


def altered_document(line: bytes, mutations: list[tuple[int, float, int]]) -> bytes:
    """Some values of a document replaced by others; it stays canonical."""
    document = json.loads(line)
    for kind, where, value in mutations:
        places = list(_places(document))
        holder, name = places[int(where * len(places))]
        if kind == 0:
            del holder[name]
        else:
            holder[name] = deepcopy(EXTREMES[value % len(EXTREMES)])
        if not document:
            break
    return canonical(document)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    for name, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, name
        if isinstance(inner, dict | list):
            yield from _places(inner)


def signed(line: bytes) -> bytes:
    return line + b"\n" + digest(line).hex().encode() + b"\n"


def inventory(data: bytes) -> object:
    return [list(entries_of(rows)) for rows in read_rows(io.BytesIO(data))]


class Scene:
    """Genuine bytes of everything, and how each is decoded. Documents are told apart by a name that ends in `}`."""

    def __init__(self, folder: Path) -> None:
        self.bench = Bench(folder / "plain")
        self.bench.source.write(b"a", text(3_000, 1))
        self.bench.source.write(b"dir/b", noise(70_000, 2))
        self.point = self.bench.backup()
        self.repository = self.bench.open()
        self.targets: dict[str, tuple[bytes, Decode]] = {}
        self._packs()
        self._encryption(folder)
        self._inventories()
        self._documents()
        self._ledger()

    def stored(self, key: str) -> bytes:
        return (self.bench.root / key).read_bytes()

    def _packs(self) -> None:
        (pack,) = self.bench.keys("packs/")
        (index,) = self.bench.keys("indexes/")
        data = self.stored(pack)
        table = data[-table_length(data) :]
        self.targets |= {
            "index": (self.stored(index), lambda data: list(decode_index(data))),
            "pack": (data, check_pack),
            "frames": (data, frames_of),
            "pack table": (table, lambda data: decode_table(data[-table_length(data) :])),
        }

    def _encryption(self, folder: Path) -> None:
        identities = [age.Identity(IDENTITIES[0])]
        file, key = age.encrypt(text(70_000, 3), [age.Recipient(recipient(n)) for n in (0, 1)])
        secrets = Secrets.of(REPOSITORY_KEY)
        self.targets |= {
            "age header": (bytes(file[:400]), age.parse_header),
            "age file": (bytes(file), lambda data: age.decrypt(data, identities)),
            "age payload": (bytes(file), lambda data: age.decrypt_with(data, key)),
            "sealed object": (bytes(seal(secrets, text(70_000, 4))), lambda data: unseal(secrets, data)),
        }
        bench = Bench(folder / "encrypted", encrypted=True)
        cipher = cipher_of(bench.open())
        (document,) = [key for key in bench.keys("keys/") if key.endswith(".recipient")]
        path = bench.root / document
        line = bytes(cipher.unwrap(document, path.read_bytes())).split(b"\n")[0]

        def recipients(line: bytes) -> object:
            text = line + b"\n" + cipher.hash(line).hex().encode() + b"\n"
            path.write_bytes(seal(secrets, text))
            return readable_recipients(cipher.objects, listed_keys(cipher.objects))

        def named_recipient(text: str) -> object:
            """It encrypts to the recipient that an authentic document names."""
            key = f"keys/{recipient_name(text)}.recipient"
            said = {"added_at": NOW.isoformat(), "recipient": text, "repository": cipher.info.id}
            line = canonical(said)
            signed_line = line + b"\n" + cipher.hash(line).hex().encode() + b"\n"
            document = read_document(cipher.objects, key, seal(secrets, signed_line))
            return age.encrypt(b"", [age.Recipient(document.fields.text("recipient"))])

        def recipient_of(point: bytes) -> object:
            return named_recipient(bech32.encode("age", point))

        rewrapped, _ = age.encrypt(noise(48 * 5, 1), [age.Recipient(recipient(0))])

        def rewrapped_keys(data: bytes) -> object:
            (bench.root / "keys/rewrap").mkdir(exist_ok=True)
            (bench.root / "keys/rewrap" / ("0" * 64)).write_bytes(data)
            return RewrappedKeys.read(bench.store, identities)

        self.targets |= {
            "key document {}": (line, recipients),
            "recipient": (
                recipient(0).encode(),
                lambda data: named_recipient(data.decode(errors="replace")),
            ),
            "recipient point": (age.Recipient(recipient(0)).point, recipient_of),
            "rewrapped keys": (bytes(rewrapped), rewrapped_keys),
        }

    def _inventories(self) -> None:
        entries = [an_entry(n)._replace(xattrs=((b"user.x", b"1"),), extents=((0, n),)) for n in range(40)]
        for name, some in (("inventory 1", entries), ("inventory 2", [dated(entries[0], 1 << 70), *entries])):
            sink = io.BytesIO()
            writer = InventoryWriter(sink)
            writer.write(rows_of(some))
            writer.close()
            self.targets[name] = (sink.getvalue(), inventory)

    def _documents(self) -> None:
        repository, point = self.repository, self.point
        key = repository.points.key(point)
        names = [canonical({"packs": [f"packs/{n:02x}/{n:064x}" for n in range(3)]})]

        def root(line: bytes) -> object:
            (self.bench.root / "repository.json").write_bytes(line)
            return read_info(self.bench.store)

        def tombstone(line: bytes) -> object:
            return decode_tombstone(f"{TOMBSTONES}{digest(line).hex()}", line)

        reads = encode_reads(
            Reads({ObjectId("ab" * 32): NOW, ObjectId("cd" * 32): NOW - timedelta(days=1)}),
            repository.objects.codec,
        )
        place = ManifestKey.of(point.source, point.sequence)
        self.targets |= {
            "manifest {}": (
                self._line(key),
                lambda line: decode_manifest(place, signed(line), repository.objects.codec),
            ),
            "repository.json {}": (self.stored("repository.json"), root),
            "tombstone {}": (names[0], tombstone),
            "reads {}": (
                reads.split(b"\n")[0],
                lambda line: decode_reads("key", signed(line), repository.objects.codec),
            ),
        }

    def _ledger(self) -> None:
        repository, point = self.repository, self.point
        proof = Proof(point.id, ProofMethod.DRILL, True, NOW, 1.0, {"findings": []})
        key, data = encode_proof(proof, repository.objects.codec, point)
        hold = hold_key(place_hold(repository.objects, point.id, "audit", NOW, until=NOW, legal=True))
        accept_point(repository.objects, point.id, "so be it", NOW)
        (accepted,) = self.bench.keys("ledger/accepted/")
        record_forgotten(repository.objects, point, "keep", NOW)
        (place,) = forgotten_places(repository.objects)
        write_locks(
            repository.objects, "docs", LockRecord(NOW, timedelta(days=9), frozenset({"packs/a"})), NOW
        )
        (locks,) = self.bench.keys("ledger/locks/")
        (hold,) = [each for each in self.bench.keys("ledger/holds/") if each.startswith(hold)]
        self.targets |= {
            "proof {}": (
                data.split(b"\n")[0],
                lambda line: decode_subject(key, signed(line), repository.objects.codec),
            ),
            "hold {}": (self._line(hold), self._rewritten(hold, lambda: read_holds(repository.objects))),
            "acceptance {}": (
                self._line(accepted),
                self._rewritten(accepted, lambda: read_acceptance(repository.objects, accepted)),
            ),
            "forgotten {}": (
                self._line(place.key),
                self._rewritten(place.key, lambda: read_forgotten_point(repository.objects, place)),
            ),
            "locks {}": (
                self._line(locks),
                self._rewritten(locks, lambda: newest_locks(repository.objects, "docs")),
            ),
            "ledger name": (
                key.encode(),
                lambda data: parse_proof_key(data.decode("utf-8", "surrogateescape")),
            ),
        }

    def _line(self, key: str) -> bytes:
        return self.stored(key).split(b"\n")[0]

    def _rewritten(self, key: str, read: Callable[[], object]) -> Decode:
        def decode(line: bytes) -> object:
            (self.bench.root / key).write_bytes(signed(line))
            return read()

        return decode


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return Scene(tmp_path_factory.mktemp("fuzz"))


def feed(scene: Scene, name: str, count: int, number: int) -> None:
    """`count` inputs; nothing but DamageError, in bounded memory."""
    genuine, decode = scene.targets[name]
    decode(genuine)

    @seed(number)
    @settings(max_examples=count, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(mutations=MUTATIONS, of_values=st.booleans(), random=st.none() | st.binary(max_size=200))
    def run(mutations: list[tuple[int, float, int]], of_values: bool, random: bytes | None) -> None:
        if random is not None and len(random) % 16 == 0:
            data = random
        elif of_values and name.endswith("}"):
            data = altered_document(genuine, mutations)
        else:
            data = altered(genuine, mutations)
        try:
            decode(data)
        except DamageError:
            return
        except RepositoryError as error:  # an inventory, or a repository, of a newer release
            if "newer" not in (error.hint or ""):
                raise

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run()
    decode(genuine)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_MEMORY_KIB


NAMES = (
    "index", "pack", "frames", "pack table", "age header", "age file", "age payload", "sealed object",
    "key document {}", "recipient", "recipient point", "rewrapped keys",
    "inventory 1", "inventory 2", "manifest {}", "repository.json {}",
    "tombstone {}", "reads {}",
    "proof {}", "hold {}", "acceptance {}", "forgotten {}", "locks {}", "ledger name",
)  # fmt: skip


def test_all_decoders_are_fed(scene: Scene) -> None:
    assert set(NAMES) == scene.targets.keys()


@pytest.mark.parametrize("name", NAMES)
def test_altered_bytes_are_decoded_or_damage(scene: Scene, name: str) -> None:
    feed(scene, name, 30, 1)


@pytest.mark.soak
@pytest.mark.parametrize("name", NAMES)
def test_very_many_altered_bytes_are_decoded_or_damage(scene: Scene, name: str) -> None:
    feed(scene, name, 3_000, 2)
