"""Verbs that tell the state of what a plan protects."""
