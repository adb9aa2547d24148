"""The plan: the user's YAML file as strict, frozen models.

`Plan.load(path)` reports every mistake of the file at once, each with its line. Secrets are references
(`${env:NAME}`, `${file:path}`): models, reprs and dumps hold the reference, and `Plan.secret` looks it up.
"""

from backup_platform.plan.model import Plan
from backup_platform.plan.repository import KeepConfig, RepositoryConfig
from backup_platform.plan.source import SourceConfig

__all__ = ["KeepConfig", "Plan", "RepositoryConfig", "SourceConfig"]
