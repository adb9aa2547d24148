"""Dagster as a view of the repository: what it shows is compared with what there is, and it is told the rest."""
