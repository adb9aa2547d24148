"""Keys: made, added, retired, tested, exported."""
