"""Sensors: what failed, what did not happen, what is lacking, and what people are told of it.

missed_windows.py  sensor: launches due windows, and records windows that are over as missed
lacking_copies.py  sensor: launches copies that are missing
alerts.py          sensor: tells what failed
elsewhere.py       sensor: reports to Dagster what happened outside of it

sweep.py           what the sensors that launch runs share
presence.py        whether a repository is there
bounded_call.py    questions with a time limit
copies_cursor.py   what the sensor of copies keeps between evaluations
kept.py            what a sensor keeps: its cursor, and notes that outlive a killed evaluation
outbox.py          incidents of a sensor, and messages that are not sent yet

still_safe.py      what messages add: what can be restored, and the next command
failed_windows.py  windows that failed and are over
failed_ticks.py    schedules and sensors that fail
long_runs.py       runs that take longer than usual
"""
