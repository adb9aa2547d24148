"""Checks: what must be true of a point, of its copies and of its repository. `table.py` says which there are."""
