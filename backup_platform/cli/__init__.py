"""The command line. `verbs.py` says which module has which verb.

entry.py         the console script
program.py       the typer application: shared options, groups, exit codes
verbs.py         the table of verbs and headings
setup/           verbs: init, plan, key, doctor, coverage, dagster-sync, man
protect/         verbs: backup, copy, verify, drill, accept, repair
recover/         verbs: points, show, ls, diff, restore, cat, tables, query, export
watch/           verbs: status
keep/            verbs: retention, forget, prune, hold, release, holds

context.py       what one call shares: options, output, services
arguments.py     arguments that several verbs have
point_filter.py  options that choose points for a listing
display/         tables, progress, JSON
failure.py       an error as a message, as JSON, and as an exit code
completing.py    what a shell offers after Tab
"""
