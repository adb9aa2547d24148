"""File trees as a source: every kind of entry, with all that is needed to put it back.

kind.py        the kind: its keys in the plan, and how it is built
source.py      the source: probe, capture, drill

capture.py     from the walk to the recorder
walk.py        one lstat for each entry
excludes.py    what is left out
gitignore.py   patterns with the meaning that git gives them
read.py        the contents of files that may change meanwhile
stream.py      the contents of large files
kernel.py      files that the kernel makes when they are read
attributes.py  owners and extended attributes
failures.py    what an error means for an entry
tally.py       counts, and hard links

drill.py       a restored tree against the inventory
survey.py      what no source protects
"""
