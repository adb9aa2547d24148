"""One snapshot of a database into streams: tables as Parquet, facts, the schema."""
