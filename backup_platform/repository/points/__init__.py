"""Recovery points: streams, inventories, manifests and their chains (FORMAT.md §3, §6, §7).

points.py        the points of a repository: read, committed, deleted
manifests.py     a point as a signed document
chains.py        the order of the points of a source, and what does not fit

recorder.py      writing: what a source gives becomes streams and inventory
chunking.py      where a stream is cut
previous.py      the rows of the previous point that can be used again
inventory.py     the entries of a point as a Parquet stream
times.py         the times of entries, also far ones
point_reader.py  reading: the inventory and the streams of a point

notes.py         what this host remembers of what it read
"""
