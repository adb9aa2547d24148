"""Records about points and packs: the ledger, and tombstones (FORMAT.md §8, §10)."""
