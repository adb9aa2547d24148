"""What every part of a repository stands on: names of objects and documents (FORMAT.md §1, §2, §7, §8)."""
