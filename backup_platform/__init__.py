"""Backups as Dagster assets: proven recovery points, restorable without Dagster."""

__version__ = "0.1.0"
