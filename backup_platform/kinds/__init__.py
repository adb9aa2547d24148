"""Kinds of sources: what the platform knows of one (`SourceKind`), and which there are (`registry`)."""

from backup_platform.kinds.kind import KindConfig, ServerRestore, SourceContext, SourceKind

__all__ = ["KindConfig", "ServerRestore", "SourceContext", "SourceKind"]
