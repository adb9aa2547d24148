"""Kinds of sources: what the platform knows of one (`SourceKind`), and which there are (`registry`)."""

from backup_platform.kinds.kind import ServerRestore, SourceConfig, SourceContext, SourceKind

__all__ = ["ServerRestore", "SourceConfig", "SourceContext", "SourceKind"]
