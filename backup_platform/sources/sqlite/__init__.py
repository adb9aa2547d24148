"""The SQLite source: one database file, copied consistently while it is written to."""
