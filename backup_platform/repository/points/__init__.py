"""Recovery points: streams, inventories, manifests and their chains (FORMAT.md §3, §6, §7)."""
