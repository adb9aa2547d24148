"""Kinds of sources: what the platform knows about each, and which exist."""
