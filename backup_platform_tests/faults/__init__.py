"""What a store may do to the program, placed at every call in turn."""
