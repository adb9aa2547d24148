"""One snapshot of a database into streams: tables as Parquet, facts, the schema.

run.py           one capture, from the snapshot to the recorder
sessions.py      the sessions of a capture: opened before anything is locked
snapshot.py      the snapshot that all sessions share, and its locks
locks.py         who takes locks, and who is in the way

tables.py        tables to streams, over several sessions
ranges.py        a large table in pieces
queries.py       the queries of one piece
storage.py       which columns are stored natively
conversion.py    batches as columns of the stored types
large_values.py  values too large to be read with their row
table_facts.py   row counts and hashes by the server
"""
