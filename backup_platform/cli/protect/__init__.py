"""Verbs that make points and prove them: backup, copy, verify, drill, accept, repair."""
