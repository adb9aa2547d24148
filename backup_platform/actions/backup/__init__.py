"""Back up one source for one window: capture, store, compare, commit."""
