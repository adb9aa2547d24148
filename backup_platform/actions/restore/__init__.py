"""Bring files of a recovery point back: what to restore, where it may go, and how each entry is made."""
