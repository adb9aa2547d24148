"""Bring files of a recovery point back into a directory.

`run.py` is the entry. An entry of the inventory goes through the modules in this order:

    run.py        plan a restore, and carry it out
    plan.py       what a restore will do, without writing
    tally.py      counts for the plan
    selection.py  which entries are wanted
    existing.py   what is in the target already, and what that means for an entry
    entries.py    all entries in their order, with bounded memory
    files.py      contents: a name never shows a file that is not complete
    specials.py   links, FIFOs, devices, sockets
    metadata.py   owner, attributes, mode, times

    target.py     the directory that is restored into; no symbolic link in it is followed
    marker.py     the note that lets an interrupted restore continue
    warnings.py   what could not be applied
    content.py    one file to a pipe instead of a directory (`cat`)
"""
