"""Put back what is missing or damaged, from the packs themselves and from copies (FORMAT.md §8).

`run.py` is the entry. It asks the planners for steps, and `apply.py` carries them out.

    run.py        plan a repair, and carry it out
    plan.py       the plan: steps and findings, for people
    donors.py     the copies that it is repaired from
    damage.py     what is wrong with packs, and what points lack because of it
    packs.py      planner: packs to fetch or to index
    manifests.py  planner: lost manifests
    keys.py       planner: lost objects below `keys/`
    ledger.py     planner: records of older versions
    apply.py      the steps, each compared before and after
    root.py       `repository.json`, without which no repository opens: a repair of its own
"""
