"""What keeps a private server's processes from everything that is not theirs; the standard library only."""
