"""Recovery points by name: found, listed, compared, accepted, held, and the windows that lack one."""
