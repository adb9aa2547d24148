"""What the command line, Dagster and users of the library call: one service for each topic, see `protocols.py`."""
