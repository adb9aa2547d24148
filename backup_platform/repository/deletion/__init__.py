"""What may be deleted: what is stored, what is needed, and superfluous indexes (FORMAT.md §10)."""
