"""The limits of objects that are read from a store (FORMAT.md §12), because anybody with write access may write
anything.

They are checked before memory is allocated. Objects of this and earlier releases stay within them. Writers aim at
smaller sizes than readers accept.
"""

from __future__ import annotations

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

# Packs (§4)
MAX_BLOB = 4 * MIB
MAX_FRAME = 8 * MIB  # decompressed
MAX_FRAME_STORED = 9 * MIB
MAX_PACK = 128 * MIB  # the plain form
MAX_TABLE = 64 * MIB  # of contents, in a pack
PACK_BLOBS = 1 << 18  # a writer closes a pack that has more

# Indexes (§5)
MAX_INDEX = 512 * MIB
MAX_INDEX_ROWS = 1 << 23
INDEX_ROWS = 1 << 22  # a writer begins another index after so many

# Documents (§7, §8), before json.loads
MAX_DOCUMENT = 64 * MIB
MAX_SMALL_DOCUMENT = 64 * KIB  # repository.json and the objects of keys/
MAX_TOMBSTONE = MIB
MAX_NESTING = 32
MAX_VALUES = 2_000_000
MAX_LEDGER_NAME = 300  # characters of a record's key
READS_PACKS = 200_000  # a writer tells of more packs in several records
LOCKED_KEYS = 500_000  # a writer names no more objects in a record of locks
MAX_NUMBER = (1 << 63) - 1
MAX_SEQUENCE = 9_999_999_999

# Streams and inventories (§3, §6)
MAX_DEPTH = 8
MAX_STREAM_BLOBS = 1 << 26
MAX_INVENTORY = 64 * GIB
MAX_TEXT = 16 * KIB  # of a `problem`

# What the tables of a point are described by: catalogue.json, database.json
MAX_TABLES_DOCUMENT = 512 * MIB
MAX_TABLES_VALUES = 32_000_000

# Parquet, in indexes and inventories
MAX_FOOTER = 16 * MIB
MAX_FOOTER_VALUES = 4_000_000
MAX_ROW_GROUP = 1 << 20  # rows
MAX_CHUNK_VALUES = 1 << 24  # of a column in a row group; only lists have more values than rows
MAX_PAGES = 512 * MIB  # decompressed, the largest page of each column together
MAX_BATCH = 256 * MIB

# Encryption (§9)
MAX_HEADER = 64 * KIB
MAX_RECIPIENTS = 500
SEALING = MIB  # at least what encryption adds to the largest object

_STORED = {
    "repository.json": MAX_SMALL_DOCUMENT,
    "packs/": MAX_PACK + SEALING,
    "meta/": MAX_PACK + SEALING,
    "indexes/": MAX_INDEX + SEALING,
    "manifests/": MAX_DOCUMENT + SEALING,
    "ledger/": MAX_DOCUMENT + SEALING,
    "tombstones/": MAX_TOMBSTONE,
    "keys/rewrap/": MAX_DOCUMENT,
    "keys/": MAX_SMALL_DOCUMENT,
}


def stored_limit(key: str) -> int:
    """The most bytes that an object with this key has in a store."""
    return next((limit for prefix, limit in _STORED.items() if key.startswith(prefix)), MAX_INDEX)
