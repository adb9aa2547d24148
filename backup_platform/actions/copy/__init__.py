"""Copy recovery points to the same repository in another place."""
