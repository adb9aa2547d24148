"""Kinds of sources: what the platform knows of one, and which there are."""
