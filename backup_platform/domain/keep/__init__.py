"""Which points are kept, where, and why."""
