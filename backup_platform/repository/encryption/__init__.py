"""Keys, recipients and the two ciphers of a repository (FORMAT.md §9)."""
