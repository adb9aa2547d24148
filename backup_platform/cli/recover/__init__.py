"""Verbs that look at points and bring them back: points, show, ls, diff, restore, tables, query, export."""
