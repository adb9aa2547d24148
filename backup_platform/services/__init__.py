"""What the command line, Dagster and users of the library ask for: one service for each topic.

Read `protocols.py` first. Each service takes the plan bound to one of its repositories, and the services that it needs.

    protocols.py    what each service does: the types that callers and the fakes of tests share
    bound.py        a plan, bound to one of its repositories, which is opened when it is first asked for
    sources.py      the sources of the plan: found by name, built for a purpose

    setup.py        init, doctor, coverage
    examination.py  what doctor examines, put together
    windows.py      schedules, and windows that lack a point
    backups.py      backups of sources
    points.py       recovery points: find, list, compare, accept
    proving.py      verify, drill, checks, evidence
    restores.py     restores into a directory, into a server, or of one file
    tables.py       tables of points: query, diff, export, load
    copies.py       copies in other repositories, and where the plan wants points
    locks.py        object locks: used by backups and copies
    maintenance.py  holds, retention, prune, repair
    state.py        the state of what the plan protects
"""
