"""Windows: where a time line is cut, when a window may be captured, and which ones lack a point."""
