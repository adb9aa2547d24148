"""How far a point, or what is stored, can be trusted: from what is recorded, and what it holds."""
