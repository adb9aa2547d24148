"""A recovery point into a server: what would be done, what stands against it, and doing it."""
