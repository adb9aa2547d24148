"""A recovery point into a server: what would be done, what stands against it, and doing it.

run.py            plan a restore, and carry it out
plan.py           what it would do
preparation.py    what is known before anything is written; all modules below take it
scope.py          which part of the point is restored
selection.py      which entries of the dump that needs
target.py         the server and the database that it goes into
privileges.py     what the role may do there

obstacles.py      conflicts, warnings and advice of the plan
out_of_reach.py   objects that cannot be created there

creation.py       CREATE DATABASE
rows/             tables, large objects, sequences
grants.py         owners and grants of roles that may be missing
subscriptions.py  subscriptions of an older server
two_roles/        the same on a private server, by two roles
shortfall.py      what could not be brought back
"""
