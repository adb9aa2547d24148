"""Code for sources of tables, whatever the engine: Parquet, chunks, digests of rows, the comparison of a drill.

parquet.py      rows to Parquet, one row group at a time
large_rows.py   a row group of one row with large values
chunking.py     chunks that end with the pages
footers.py      the footer of a Parquet file
sparse_file.py  a file of which only some parts are there
read_back.py    pyarrow reads back what we wrote ourselves

stored.py       a stored table
spool.py        where a drill reads restored tables into
digest.py       digests of rows in any order
comparing.py    stored and restored tables, value by value
locating.py     which rows differ
findings.py     the result of a comparison
"""
