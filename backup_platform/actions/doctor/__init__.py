"""Is everything in order that backups and restores need?"""
