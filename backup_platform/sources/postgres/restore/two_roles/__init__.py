"""Restores into a private server by two roles. Code of the restored database can gain nothing from the first role. The
second one is a superuser, for objects that only a superuser may create and that run no such code."""
