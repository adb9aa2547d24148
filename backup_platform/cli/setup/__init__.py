"""Verbs that set up: init, key, plan, doctor, man."""
