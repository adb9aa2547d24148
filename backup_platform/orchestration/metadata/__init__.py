"""What points, tables and upkeep say of themselves in the UI of Dagster."""
