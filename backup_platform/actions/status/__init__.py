"""The state of what a plan protects: looked up here, judged by `domain.status`."""
