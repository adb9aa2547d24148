"""Checks: what must be true of a point, of its copies and of its repository, each with a verdict and numbers."""
