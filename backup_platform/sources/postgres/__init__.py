"""PostgreSQL databases: one snapshot, tables as Parquet, the schema as pg_dump writes it.

A contract of imports says which folder may use which.

    kind.py             the kind: its keys in the plan, and how it is built
    options.py          the same, with secrets looked up
    source.py           the source: probe, capture, drill, restore. Read it first
    survey.py           databases and tables that no source protects

    connect/            connections, session settings, poolers
    catalog/            what the server says of the database
    capture/            one snapshot into streams
    dump/               pg_dump, pg_restore and their archive
    document.py         the streams of a recovery point, and what `database.json` holds
    contents.py         the same, opened for reading
    restore/            a recovery point into a server
    drill/              a recovery point into a scratch database, and the comparison
    server/             private servers for drills

    tools.py            the programs of PostgreSQL: found and run
    url.py              the URL of a database
    quoting.py          names and constants in SQL
    failures.py         errors of the server that is backed up
    target_failures.py  errors of the server that is restored into
"""
