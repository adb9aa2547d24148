"""The state of what a plan protects: values and rules, from points, proofs and the time. Nothing is read here."""
