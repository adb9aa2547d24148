"""What the demo protects: a shop's database of some 100 MB, and the files that its customers uploaded."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from contextlib import closing

SCHEMA = """
CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT UNIQUE, city TEXT, since TEXT);
CREATE TABLE product (id INTEGER PRIMARY KEY, name TEXT NOT NULL, description TEXT,
                      price_cents INTEGER CHECK (price_cents > 0));
CREATE TABLE purchase (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customer,
                       placed_at TEXT, note TEXT);
CREATE TABLE line (purchase_id INTEGER NOT NULL REFERENCES purchase,
                   product_id INTEGER NOT NULL REFERENCES product,
                   quantity INTEGER NOT NULL, price_cents INTEGER NOT NULL,
                   PRIMARY KEY (purchase_id, product_id)) WITHOUT ROWID;
CREATE INDEX purchase_by_customer ON purchase (customer_id);
CREATE VIEW revenue AS SELECT date(placed_at) AS day, sum(quantity * price_cents) AS cents
                       FROM line JOIN purchase ON purchase.id = purchase_id GROUP BY 1;
"""
NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) "
PURCHASES, FILES = 650_000, 5_000
SMALL_PURCHASES, SMALL_FILES = 20_000, 250
FILLING = (
    """INSERT INTO customer
       SELECT i, 'Customer ' || i, 'customer' || i || '@example.com',
              substr('Berlin Lisbon Nairobi Osaka Quito  ', 1 + 7 * (abs(random()) % 5), 6),
              date('2020-01-01', '+' || (i % 2000) || ' days') FROM n""",
    """INSERT INTO product
       SELECT i, 'Product ' || i, hex(randomblob(60)), 99 + abs(random()) % 20000 FROM n""",
    """INSERT INTO purchase
       SELECT i, 1 + abs(random()) % {customers}, datetime('2024-01-01', '+' || i || ' minutes'),
              'order ' || hex(randomblob(16)) || ' to be delivered by ' || (i % 17) FROM n""",
    """INSERT OR IGNORE INTO line
       SELECT 1 + i % {purchases}, 1 + abs(random()) % {products}, 1 + i % 4, 99 + abs(random()) % 20000 FROM n""",
)
WORDS = (
    *("backup", "restore", "window", "proof", "drill", "source", "ledger", "manifest", "pack", "chunk"),
    *("invoice", "parcel", "address", "customer", "order", "delivery", "return", "receipt", "account"),
    *("payment", "refund", "warehouse", "shelf", "label", "scanner", "route", "driver", "morning", "evening"),
)


def make_shop(path: str, purchases: int = PURCHASES) -> None:
    """A database in WAL mode, as an application would use it; some 150 bytes a purchase."""
    rows = {"customers": purchases // 16, "products": purchases // 130, "purchases": purchases}
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;" + SCHEMA)
    counts = (*rows.values(), 2 * purchases)
    connection.execute("BEGIN")
    for statement, count in zip(FILLING, counts, strict=True):
        connection.execute((NUMBERS + statement).format(count=count, **rows))
    connection.execute("COMMIT")
    connection.close()


def change_shop(path: str) -> None:
    """A few hours of business: new purchases, prices that change."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE product SET price_cents = price_cents + 100 WHERE id % 10 = 0")
        connection.execute(
            "INSERT INTO purchase SELECT (SELECT max(id) FROM purchase) + id, customer_id, datetime('now'), "
            "'rush hour' FROM purchase WHERE id % 250 = 0"
        )


def make_uploads(root: str, count: int = FILES) -> None:
    """Letters, scans and exports in dated directories; a link, a hard link, an empty and a sparse file among them."""
    source = random.Random(7)
    text = " ".join(source.choices(WORDS, k=80 * count)).encode()
    noise = source.randbytes(4 << 20)
    for number in range(count):
        directory = os.path.join(root, f"2026-{1 + number % 11:02d}", f"{number % 28 + 1:02d}")
        os.makedirs(directory, exist_ok=True)
        scan = number % 3 == 0
        size = source.randrange(20_000, 140_000) if scan else source.randrange(500, 30_000)
        pool = noise if scan else text
        start = source.randrange(len(pool) - size)
        _write(
            os.path.join(directory, f"{number:05d}.{'jpg' if scan else 'txt'}"), pool[start : start + size]
        )
    _write(os.path.join(root, "export.csv"), text * 10)
    _add_oddities(root)


def _add_oddities(root: str) -> None:
    os.symlink("export.csv", os.path.join(root, "latest.csv"))
    os.link(os.path.join(root, "export.csv"), os.path.join(root, "export-2026.csv"))
    _write(os.path.join(root, "empty"), b"")
    with open(os.path.join(root, "disk.img"), "wb") as file:
        file.truncate(64 << 20)
        file.seek(1 << 20)
        file.write(b"a sparse file")


def change_uploads(root: str) -> None:
    """Fifty new files, one edited, one deleted."""
    source = random.Random(8)
    for number in range(50):
        _write(os.path.join(root, "2026-11", f"new-{number:02d}.jpg"), source.randbytes(50_000))
    with open(os.path.join(root, "export.csv"), "r+b") as file:
        file.seek(os.path.getsize(file.name) // 5)
        file.write(b"edited in the middle")
    os.unlink(os.path.join(root, "empty"))


def _write(path: str, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)


def fresh(directory: str) -> None:
    """An empty directory."""
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory)
