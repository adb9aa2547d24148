"""A recovery point restored into a scratch database, and compared in every way there is."""
