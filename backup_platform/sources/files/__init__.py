"""File trees as a source: every kind of entry, with all that is needed to put it back."""

from backup_platform.sources.files.source import FileTreeSource

__all__ = ["FileTreeSource"]
