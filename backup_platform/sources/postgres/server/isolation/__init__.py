"""Isolation of a private server's processes from everything that does not belong to them. Standard library only."""
