"""The parts of a restore: what to restore, where it may go, and how each entry is made."""
