"""The rules that need nothing but the standard library: no input, no output, no clock of their own.

Read `model.py` and `ports.py` first.

    model.py          the values that all other modules use: recovery point, window, entry, proof, stream
    ports.py          what the core needs from outside, as Protocols: store, source, clock, progress

    windows/          how time is divided, and which windows lack a point
    trust/            how far a point, or stored data, can be trusted
    keep/             which points are kept, where, and why
    status/           the state of what a plan protects
    incidents/        what people are told of a lasting failure, when, and to which channel
    checks.py         what a check is, and what it says
    schema_change.py  the check of kinds that have a schema
    coverage.py       what a plan does not protect
    recipients.py     recipients that are expected, compared with those of a repository
    restoring.py      a restore into a server: target, plan, summary
    tables.py         the tables of a point, and how their columns are stored

    words.py          sizes, durations, plurals, lists and names of points as text
    visible.py        text of unknown origin, made harmless for terminals and logs
    fingerprint.py    the fingerprint of a repository, as people write it
    limits.py         the largest objects that are read from a store
    bounded_json.py   JSON of unknown origin, read within limits
    thrift.py         the metadata of Parquet files; sources and repository both need it
    time_limit.py     how long something may take
"""
