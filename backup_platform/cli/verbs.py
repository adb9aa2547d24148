"""The table of verbs: where each one is implemented, and how `--help` and the man page group them."""

from __future__ import annotations

# verb -> (module below backup_platform.cli, function). The module is imported when the verb is asked for.
VERBS = {
    "init": ("init", "init"),
    "doctor": ("doctor", "doctor"),
    "man": ("manual", "man"),
    "backup": ("backup", "backup"),
    "copy": ("copy", "copy"),
    "verify": ("proving", "verify"),
    "drill": ("proving", "drill"),
    "accept": ("accepting", "accept"),
    "repair": ("repair", "repair"),
    "points": ("points", "points"),
    "show": ("points", "show"),
    "ls": ("listing", "ls"),
    "diff": ("listing", "diff"),
    "restore": ("restore", "restore"),
    "tables": ("tables", "tables"),
    "query": ("query", "query"),
    "export": ("export", "export"),
    "retention": ("retention", "retention"),
    "forget": ("retention", "forget"),
    "prune": ("prune", "prune"),
    "hold": ("holding", "hold"),
    "release": ("holding", "release"),
    "holds": ("holding", "holds"),
}

# group of verbs -> (what the group is for, its verbs as above)
GROUPS = {
    "plan": (
        "Check the plan file, or describe it to editors (docs/plan.md).",
        {"check": ("plan", "check"), "schema": ("plan", "schema")},
    ),
    "key": (
        "Manage who can open an encrypted repository (docs/encryption.md).",
        {
            "generate": ("key", "generate"),
            "add": ("key", "add"),
            "retire": ("key", "retire"),
            "list": ("key", "list_keys"),
            "test": ("key", "test"),
            "rewrap": ("key", "rewrap"),
            "export": ("key", "export"),
        },
    ),
}

# heading -> its verbs and groups, in the order in which the help shows them
PANELS = {
    "Set up": ("plan", "init", "key", "doctor", "man"),
    "Back up": ("backup", "copy"),
    "Prove": ("verify", "drill", "accept", "repair"),
    "Restore and look": ("points", "show", "ls", "diff", "restore", "tables", "query", "export"),
    "Keep and delete": ("retention", "forget", "prune", "hold", "release", "holds"),
}

# Verbs that only print. They stop when nobody can read their output any more.
LISTINGS = {"points", "show", "ls", "diff", "tables", "query", "holds", "retention", "list", "man", "schema"}
