"""The plan: the user's YAML file as strict, frozen models.

`Plan.load(path)` reports every mistake of the file at once, each with its line. Secrets are references
(`${env:NAME}`, `${file:path}`): models, reprs and dumps hold the reference, and `Plan.secret` looks it up.

    model.py       a whole plan, and how its parts fit together
    source.py      a source: keys of all sources, and those of its kind
    expect.py      what a source must hold
    repository.py  a repository: retention, prune, reading again, copies
    store.py       how the store of a repository is reached
    coverage.py    where to look for what no source protects
    alerting.py    who is told of incidents, when, and how often
    values.py      the types of values, each with a message that says how to write it

    loading.py     from a file to a plan, or to all its mistakes
    document.py    YAML with the line of each key
    references.py  secrets by reference
    places.py      directories that contain each other
    schema.py      the JSON schema for editors
    examples.py    examples in messages
"""

from backup_platform.plan.model import Plan
from backup_platform.plan.repository import KeepConfig, RepositoryConfig
from backup_platform.plan.source import SourceConfig

__all__ = ["KeepConfig", "Plan", "RepositoryConfig", "SourceConfig"]
