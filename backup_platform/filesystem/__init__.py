"""Files as the kernel shows them: code that capturing and restoring a tree share."""
