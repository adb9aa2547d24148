"""The table of verbs: where each one is implemented, and how `--help` and the man page group them."""

from __future__ import annotations

# verb -> (module below backup_platform.cli, function). The module is imported when the verb is asked for.
VERBS = {
    "init": ("setup.init", "init"),
    "doctor": ("setup.doctor", "doctor"),
    "coverage": ("setup.coverage", "coverage"),
    "man": ("setup.manual", "man"),
    "dagster-sync": ("setup.dagster_sync", "dagster_sync"),
    "status": ("watch.status", "status"),
    "metrics": ("watch.metrics", "metrics"),
    "backup": ("protect.backup", "backup"),
    "copy": ("protect.copy", "copy"),
    "verify": ("protect.prove", "verify"),
    "drill": ("protect.prove", "drill"),
    "accept": ("protect.accept", "accept"),
    "repair": ("protect.repair", "repair"),
    "points": ("recover.points", "points"),
    "show": ("recover.points", "show"),
    "ls": ("recover.listing", "ls"),
    "diff": ("recover.listing", "diff"),
    "restore": ("recover.restore", "restore"),
    "cat": ("recover.cat", "cat"),
    "tables": ("recover.tables", "tables"),
    "query": ("recover.query", "query"),
    "export": ("recover.export", "export"),
    "retention": ("keep.retention", "retention"),
    "forget": ("keep.retention", "forget"),
    "prune": ("keep.prune", "prune"),
    "hold": ("keep.hold", "hold"),
    "release": ("keep.hold", "release"),
    "holds": ("keep.hold", "holds"),
}

# group of verbs -> (what the group is for, its verbs as above)
GROUPS = {
    "plan": (
        "Check the plan file, or describe it to editors (docs/plan.md).",
        {"check": ("setup.plan", "check"), "schema": ("setup.plan", "schema")},
    ),
    "key": (
        "Manage who can open an encrypted repository (docs/encryption.md).",
        {
            "generate": ("setup.key", "generate"),
            "add": ("setup.key", "add"),
            "retire": ("setup.key", "retire"),
            "list": ("setup.key", "list_keys"),
            "test": ("setup.key", "test"),
            "rewrap": ("setup.key", "rewrap"),
            "export": ("setup.key", "export"),
        },
    ),
}

# heading -> its verbs and groups, in the order in which the help shows them
PANELS = {
    "Set up": ("plan", "init", "key", "doctor", "coverage", "dagster-sync", "man"),
    "Back up": ("backup", "copy"),
    "Watch": ("status", "metrics"),
    "Prove": ("verify", "drill", "accept", "repair"),
    "Restore and look": ("points", "show", "ls", "diff", "restore", "cat", "tables", "query", "export"),
    "Keep and delete": ("retention", "forget", "prune", "hold", "release", "holds"),
}

# Verbs that only print. They stop when nobody can read their output any more.
LISTINGS = {
    "status",
    "metrics",
    "points",
    "show",
    "ls",
    "diff",
    "cat",
    "tables",
    "query",
    "holds",
    "retention",
    "list",
    "man",
    "schema",
}
