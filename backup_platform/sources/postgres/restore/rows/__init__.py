"""The data that a restore loads: tables, large objects, sequences, materialised views."""
