"""Verbs that keep and delete points: retention, forget, prune, hold, release, holds."""
