"""What the catalogue of a server says about the database to capture, by topic."""
