"""How far a point, or stored data, can be trusted: by what is recorded about it, and by what it holds."""
