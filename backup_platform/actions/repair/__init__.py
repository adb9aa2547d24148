"""Put back what is missing or damaged, from the packs themselves and from copies (FORMAT.md §8)."""
