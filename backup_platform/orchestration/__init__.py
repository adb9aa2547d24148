"""Dagster: from a plan to assets, checks, schedules and sensors, and from results to metadata.

`build.py` is the entry. Everything is named by `translator.py`.

    build.py            everything that Dagster shows of one plan
    translator.py       names, keys, specs and tags; users make subclasses
    assets/             backups, copies, upkeep, coverage, and their checks
    metadata/           what is shown about them
    sensors/            what failed, what did not happen, what is lacking, and alerts
    view/               Dagster compared with the repositories, and told what it lacks
    automation.py       jobs, schedules and sensors of one plan
    schedules.py        sources that tick together share a job and a schedule
    tick_names.py       the names of these schedules
    subjects.py         the assets that runs and alerts are about

    gates.py            assets that let others wait for a backup, or for one that is proven
    runs.py             what Dagster knows of the runs of these assets, and when to try again
    concurrent_runs.py  one run at a time
    progress.py         progress in the log of a run
    failures.py         our errors as those of Dagster: fail now, or retry later
    shown.py            text of unknown origin, made harmless for the UI

    component.py        the component for projects of Dagster
    scaffolder.py       what `dg scaffold defs` writes
    credentials.py      the credentials of a Dagster resource for a store
"""
