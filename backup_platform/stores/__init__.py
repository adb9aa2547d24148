"""Object stores: a directory, S3, Google, Azure. Only this folder speaks to them.

`opening.py` is the entry: it opens the store at a place, and wraps it with the behaviour that the plan asks for.

    opening.py       from a path or URL to a store and what it can do besides its verbs
    options.py       how a store is reached and used

    object_store.py  the store itself, over any backend of obstore; a directory, made durable
    remote.py        from a URL and its credentials to a backend of obstore
    reserve.py       disk space that a directory keeps for work that frees space
    object_lock.py   retentions of objects in S3

    wrapping.py      the base of all wrappers: it passes everything on
    retrying.py      a wrapper: repeats calls that failed for a temporary reason
    caching.py       a wrapper: copies of small objects on this machine
    limits.py        wrappers: bandwidth, one writer only, no reading
    naming.py        a wrapper: errors say which repository they are about

    failures.py      which of our errors a failed call is
    advice.py        what to do about the codes of stores
    probe.py         whether a store does what a repository relies on
"""
