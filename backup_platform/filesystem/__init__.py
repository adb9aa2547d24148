"""Files as the kernel has them: what capturing and restoring a tree share."""
