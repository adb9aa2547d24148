"""The command source: what a program writes to its standard output, as one stream."""
