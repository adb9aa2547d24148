"""Restoring files of a recovery point: which entries, where they may go, and how each one is made."""
