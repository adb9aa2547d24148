"""The demo's PostgreSQL database: accounts and the bookings between them, whose sums agree."""

from __future__ import annotations

from demo.server import Server

DATABASE = "ledger"
BOOKINGS, SMALL_BOOKINGS = 300_000, 5_000
SCHEMA = """
CREATE TYPE currency AS ENUM ('EUR', 'KES', 'JPY');
CREATE TABLE account (id bigint PRIMARY KEY, owner text NOT NULL, currency currency NOT NULL,
    balance numeric(14,2) NOT NULL, opened date NOT NULL, labels text[] NOT NULL, contact jsonb);
CREATE TABLE booking (id bigint GENERATED ALWAYS AS IDENTITY, account_id bigint NOT NULL REFERENCES account,
    at timestamptz NOT NULL, amount numeric(12,2) NOT NULL, reference uuid NOT NULL, note text,
    PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE booking_2025 PARTITION OF booking FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE booking_2026 PARTITION OF booking FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE INDEX booking_by_account ON booking (account_id);
CREATE MATERIALIZED VIEW turnover AS
    SELECT date_trunc('month', at) AS month, sum(abs(amount)) AS amount FROM booking GROUP BY 1;
"""
ACCOUNTS = """
INSERT INTO account SELECT i, 'Owner ' || md5(i::text), (enum_range(NULL::currency))[1 + i % 3], 0,
    date '2019-01-01' + (i % 2000)::int, ARRAY['tier ' || i % 4, 'region ' || i % 9],
    jsonb_build_object('mail', 'owner' || i || '@example.com', 'letters', i % 2 = 0)
    FROM generate_series(1, {accounts}) i
"""
BOOKED = """
INSERT INTO booking (account_id, at, amount, reference, note)
    SELECT 1 + abs(hashint8({seed} + i)) % {accounts},
        timestamptz '2025-01-01' + (i % {bookings}) * interval '{minutes} minutes',
        (hashint8({seed} + i * 7) % 500000) / 100.0, md5(({seed} + i)::text)::uuid,
        CASE WHEN i % 4 = 0 THEN 'invoice ' || i || ', to be paid within ' || i % 30 || ' days' END
    FROM generate_series(1, {count}) i
"""
BALANCE = """
UPDATE account SET balance = coalesce((SELECT sum(amount) FROM booking WHERE account_id = account.id), 0)
"""
AGREES = "SELECT (SELECT sum(balance) FROM account) = (SELECT sum(amount) FROM booking)"


def make_ledger(server: Server, bookings: int) -> None:
    """Some 300 bytes a booking, indexes included."""
    accounts = bookings // 30
    server.sql("postgres", f"CREATE DATABASE {DATABASE}")
    _book(server, SCHEMA, ACCOUNTS.format(accounts=accounts), bookings=bookings, count=bookings, seed=0)
    server.sql(DATABASE, "REFRESH MATERIALIZED VIEW turnover", "ANALYZE")


def change_ledger(server: Server, bookings: int) -> None:
    """A hundredth more bookings, and the balances that follow from them."""
    _book(server, bookings=bookings, count=bookings // 100, seed=bookings)


def _book(server: Server, *before: str, bookings: int, count: int, seed: int) -> None:
    minutes = 950_000 // bookings  # almost two years
    booked = BOOKED.format(
        accounts=bookings // 30, bookings=bookings, count=count, seed=seed, minutes=minutes
    )
    server.sql(DATABASE, *before, booked, BALANCE)
