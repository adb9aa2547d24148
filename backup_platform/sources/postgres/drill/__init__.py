"""A recovery point, restored into a scratch database and compared in several independent ways."""
