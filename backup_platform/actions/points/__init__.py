"""Recovery points by name: how they are found, listed, compared, accepted and held, and which windows lack one."""
