"""What the catalogue of a server says of the database to capture, by concept."""
