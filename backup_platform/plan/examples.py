"""Examples in messages about a plan."""

from __future__ import annotations

PLAN = """\
repository: {path: /var/backups/main}
sources:
  uploads: {files: /srv/uploads, every: day}
"""
WHAT = "name what to protect, as in `files: /srv/uploads`"
SOURCES = "write at least one, as in `sources: {uploads: {files: /srv, every: day}}`"
WHERE = "say where to look, as in `files: /srv`"
