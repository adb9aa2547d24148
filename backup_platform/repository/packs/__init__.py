"""Blobs in packs, and the indexes that tell where they are (FORMAT.md §3 to §5)."""
