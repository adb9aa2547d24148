"""What is done with recovery points. Each verb is a folder: `run.py` is its entry, `plan.py` says what it would do."""
