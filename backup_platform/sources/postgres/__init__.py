"""PostgreSQL databases: one snapshot, tables as Parquet, the schema as pg_dump writes it."""
