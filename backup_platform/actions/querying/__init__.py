"""SQL over the tables of recovery points: DuckDB, locked down, reading only the blobs that it needs."""
