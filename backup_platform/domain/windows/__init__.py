"""Windows: how time is divided, when a window may be captured, and which windows lack a point."""
