"""What sources of tables need, whatever the engine: Parquet, chunks, digests of rows, what a drill compares."""
