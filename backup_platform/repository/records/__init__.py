"""What is written down of points and packs: the ledger, and tombstones (FORMAT.md §8, §10)."""
