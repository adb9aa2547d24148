"""The SQLite source: one database file, copied consistently while it is written to."""

from backup_platform.sources.sqlite.chunking import FixedChunks
from backup_platform.sources.sqlite.source import SqliteSource

__all__ = ["FixedChunks", "SqliteSource"]
