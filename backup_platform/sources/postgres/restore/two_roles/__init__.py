"""Restores into a private server by two roles: one that no code of the restored database can make anything of, and a
superuser, for what only a superuser may make and what runs no such code."""
