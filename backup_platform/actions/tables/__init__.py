"""Tables of a recovery point: loaded, exported, and compared between two points."""
