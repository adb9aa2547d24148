"""Sensors: what failed, what did not happen, what is lacking, and what people are told of it."""
