"""How results, amounts and progress are written to a terminal, and as JSON."""
