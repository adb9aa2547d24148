"""SQL over the tables of a recovery point: DuckDB, locked down, reading only the blobs that it needs."""
