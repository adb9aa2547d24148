"""Connections to a server, the session settings that they pin, and what may stand between."""
