"""What the command line, Dagster and users of the library ask for: one service for each topic, see `protocols.py`."""
