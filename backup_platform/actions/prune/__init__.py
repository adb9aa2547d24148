"""Delete what no recovery point needs (FORMAT.md §10)."""
