"""Whether everything that backups and restores need is in order."""
