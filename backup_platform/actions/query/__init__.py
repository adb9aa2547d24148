"""SQL on the tables of a recovery point. DuckDB reads only the blobs that it needs, and has no access to anything
else."""
