"""Code for sources of tables, whatever the engine: Parquet, chunks, digests of rows, the comparison of a drill."""
