"""Blobs in packs, and the indexes that tell where they are (FORMAT.md §3 to §5).

packs.py            the form of a pack: frames and a table of contents
compression.py      frames
blob_writer.py      writing: deduplicate, compress, pack, store, read back
storing.py          a pack or an index is stored and read back
blob_reader.py      reading: parts of packs, and blobs

index.py            where blobs are: one index in memory
index_objects.py    an index as a stored Parquet object
indexes.py          all indexes of a repository, put together for readers and for writers
bounded_parquet.py  Parquet of unknown origin, read in memory that is known beforehand

known.py            what this host wrote or read itself
claims.py           what indexes say, and where they disagree
decoded.py          what packs really hold, by whoever decoded them
false_claims.py     what an index says and a pack does not hold
reliance.py         what a backup may refer to
"""
