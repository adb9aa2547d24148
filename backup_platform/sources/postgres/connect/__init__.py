"""Connections to a server, the session settings that they pin, and poolers between this machine and the server."""
