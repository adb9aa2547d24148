"""The metadata of points, tables and upkeep in the UI of Dagster."""
