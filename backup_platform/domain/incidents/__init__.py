"""Incidents: what is told of a lasting failure, when, and to which channel. Values and transitions."""
