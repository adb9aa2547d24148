"""What a restore fills: tables, large objects, sequences, materialised views."""
